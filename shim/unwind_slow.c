/* SPDX-License-Identifier: MIT
 *
 * libunwind is loaded into a scope of its own, because it exports _Unwind_RaiseException and friends. Its cache is switched
 * off: the only kind that Debian's build offers holds a lock while it waits for the loader's, and two threads of which one
 * allocates below dl_iterate_phdr would stop each other. */
#define UNW_LOCAL_ONLY

#include "unwind_slow.h"

#include "machine.h"
#include "unwind_memory.h"

#include <dlfcn.h>
#include <errno.h>
#include <libunwind.h>
#include <sched.h>
#include <string.h>

#define NAME_OF(macro) NAME_OF_(macro)
#define NAME_OF_(name) #name

static struct {
    int (*getcontext)(unw_tdep_context_t *context);
    int (*init_local)(unw_cursor_t *cursor, unw_context_t *context);
    int (*step)(unw_cursor_t *cursor);
    int (*get_reg)(unw_cursor_t *cursor, int number, unw_word_t *value);
    int (*is_signal_frame)(unw_cursor_t *cursor);
    int (*set_caching_policy)(unw_addr_space_t space, unw_caching_policy_t policy);
    unw_accessors_t *(*get_accessors)(unw_addr_space_t space);
    unw_addr_space_t *local_space;
    bool loaded;
} unw;

static const struct {
    void *target;
    const char *name;
} symbols[] = {
    {&unw.getcontext, MACHINE_GETCONTEXT},
    {&unw.init_local, NAME_OF(unw_init_local)},
    {&unw.step, NAME_OF(unw_step)},
    {&unw.get_reg, NAME_OF(unw_get_reg)},
    {&unw.is_signal_frame, NAME_OF(unw_is_signal_frame)},
    {&unw.set_caching_policy, NAME_OF(unw_set_caching_policy)},
    {&unw.get_accessors, NAME_OF(unw_get_accessors)},
    {&unw.local_space, NAME_OF(unw_local_addr_space)},
};

_Thread_local uintptr_t slow_address;

static int (*find_object)(void *pc, struct dl_find_object *result);

#define PAGES_KNOWN 32u

static _Thread_local uintptr_t *walk_pages _initial_exec_; /* those found readable in this walk */

static bool page_readable(uintptr_t address)
{
    uintptr_t page = address >> 12, *known = &walk_pages[page % PAGES_KNOWN];

    if (!page)
        return false;
    if (*known == page)
        return true;
    if (!memory_probe(address))
        return false;
    *known = page;
    return true;
}

static int (*own_access_memory)(unw_addr_space_t space, unw_word_t address, unw_word_t *value, int is_write,
                                void *argument);

/* In the place of libunwind's own, which asks whether memory can be read by writing it to a pipe, whose descriptors the program may
 * have closed, and have files of its own there: those it would write to, read from, and close. But the library may be the program's,
 * too. */
static int access_memory(unw_addr_space_t space, unw_word_t address, unw_word_t *value, int is_write, void *argument)
{
    if (!walk_pages)
        return own_access_memory(space, address, value, is_write, argument);
    if (is_write || !page_readable(address) || !page_readable(address + sizeof(*value) - 1))
        return -UNW_EINVAL;
    memcpy(value, (const void *)address, sizeof(*value));
    return 0;
}

int slow_init(void)
{
    struct slow_frame frames[4];
    void *const *frame = __builtin_frame_address(0);

    if (unw.loaded)
        return 0;
    void *library = dlopen("libunwind.so.8", RTLD_LOCAL | RTLD_NOW);
    if (!library)
        return -ENOENT;
    for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
        if (!symbols[i].name)
            continue;
        void *symbol = dlsym(library, symbols[i].name);
        if (!symbol) {
            dlclose(library);
            return -ENOSYS;
        }
        *(void **)symbols[i].target = symbol;
    }
    find_object = (int (*)(void *, struct dl_find_object *))dlsym(RTLD_DEFAULT, "_dl_find_object");
    unw.set_caching_policy(*unw.local_space, UNW_CACHE_NONE);
    unw_accessors_t *accessors = unw.get_accessors(*unw.local_space);
    if (accessors->access_mem != access_memory)
        own_access_memory = accessors->access_mem;
    accessors->access_mem = access_memory;
    unw.loaded = true;
    struct unwind_start start = {0, (uintptr_t)frame, 0};
    slow_walk(&start, frames, ARRAY_SIZE(frames)); /* what it sets up on first use is set up now */
    return 0;
}

bool slow_present(void)
{
    return unw.loaded;
}

/* The program headers follow the ELF header at the start of the mapping (of every linker's output in use). */
int slow_iterate(int (*callback)(struct dl_phdr_info *, size_t, void *), void *data)
{
    struct dl_find_object object;

    if (!find_object || find_object((void *)slow_address, &object) < 0)
        return 0;
    const ElfW(Ehdr) *header = object.dlfo_map_start;
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
        return 0;
    struct dl_phdr_info info = {
        .dlpi_addr = object.dlfo_link_map->l_addr,
        .dlpi_name = object.dlfo_link_map->l_name,
        .dlpi_phdr = (const void *)((uintptr_t)header + header->e_phoff),
        .dlpi_phnum = header->e_phnum,
    };
    return callback(&info, sizeof(info), data);
}

/* One step outwards; what libunwind asks about modules meanwhile is about the frame that it leaves. */
static int step(unw_cursor_t *cursor)
{
    unw_word_t pc = 0;

    if (find_object && unw.get_reg(cursor, UNW_REG_IP, &pc) == 0)
        slow_address = pc;
    int result = unw.step(cursor);
    slow_address = 0;
    return result;
}

/* Steps out to the frame whose stack pointer is start->sp, or when that is not known, to one at start->pc. *ret_sp: its
 * stack pointer. */
static bool find_start(unw_cursor_t *cursor, const struct unwind_start *start, unw_word_t *ret_sp)
{
    unw_word_t pc;

    while (step(cursor) > 0) {
        if (unw.get_reg(cursor, UNW_REG_SP, ret_sp) < 0 || unw.get_reg(cursor, UNW_REG_IP, &pc) < 0)
            return false;
        if (!start->sp && pc == start->pc)
            return true;
        if (start->sp && *ret_sp >= start->sp)
            return *ret_sp == start->sp && pc == start->pc;
    }
    return false;
}

static __attribute__((noinline)) unsigned walk(const struct unwind_start *start, struct slow_frame *frames,
                                               unsigned max)
{
    unw_context_t context;
    unw_cursor_t cursor;
    unw_word_t pc, sp, last;
    unsigned count = 1, backward = 0;

    if (!max)
        return 0;
    frames[0] = (struct slow_frame){start->pc, false};
    if (!unw.loaded)
        return 1;
    machine_getcontext(unw.getcontext, &context);
    if (unw.init_local(&cursor, &context) < 0 || !find_start(&cursor, start, &last))
        return 1;
    while (count < max) {
        /* libunwind repairs a jump to a bad address by a guess from its own frame; here such a pc ends the stack. */
        if (!page_readable(frames[count - 1].pc))
            break;
        bool exact = unw.is_signal_frame(&cursor) > 0;
        if (step(&cursor) <= 0 || unw.get_reg(&cursor, UNW_REG_IP, &pc) < 0 || pc < CODE_MIN)
            break;
        if (unw.get_reg(&cursor, UNW_REG_SP, &sp) < 0 || (sp <= last && ++backward > BACKWARD_MAX))
            break;
        last = sp;
        if (MACHINE_SIGNAL_FRAME_IS_INTERRUPTED)
            exact = unw.is_signal_frame(&cursor) > 0;
        frames[count++] = (struct slow_frame){pc, exact};
    }
    return count;
}

/* libunwind has locks of its own, which a forked child would find taken for ever if another thread was inside. So fork
 * waits until none is, and nobody enters while it forks. */
static unsigned inside;
static bool closed;

static void enter(void)
{
    for (;;) {
        __atomic_fetch_add(&inside, 1, __ATOMIC_SEQ_CST);
        if (likely(!__atomic_load_n(&closed, __ATOMIC_SEQ_CST)))
            return;
        __atomic_fetch_sub(&inside, 1, __ATOMIC_SEQ_CST);
        while (__atomic_load_n(&closed, __ATOMIC_SEQ_CST))
            sched_yield();
    }
}

static void leave(void)
{
    __atomic_fetch_sub(&inside, 1, __ATOMIC_SEQ_CST);
}

#define FORK_PATIENCE 10000u /* yields */

void slow_fork_prepare(void)
{
    __atomic_store_n(&closed, true, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < FORK_PATIENCE && __atomic_load_n(&inside, __ATOMIC_SEQ_CST); i++)
        sched_yield();
}

void slow_fork_parent(void)
{
    __atomic_store_n(&closed, false, __ATOMIC_SEQ_CST);
}

bool slow_fork_child(void)
{
    if (inside)
        unw.loaded = false;
    inside = 0;
    closed = false;
    return unw.loaded;
}

__attribute__((noinline)) unsigned slow_walk(const struct unwind_start *start, struct slow_frame *frames, unsigned max)
{
    uintptr_t pages[PAGES_KNOWN] = {0};

    enter();
    walk_pages = pages;
    unsigned count = walk(start, frames, max);
    walk_pages = NULL;
    leave();
    return count;
}
