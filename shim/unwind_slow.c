/* SPDX-License-Identifier: MIT
 *
 * libunwind is loaded into a scope of its own, because it exports _Unwind_RaiseException and friends. Its cache is switched
 * off: the only kind that Debian's build offers holds a lock while it waits for the loader's, and two threads of which one
 * allocates below dl_iterate_phdr would stop each other. */
#define UNW_LOCAL_ONLY

#include "unwind_slow.h"

#include "unwind_memory.h"

#include <dlfcn.h>
#include <errno.h>
#include <libunwind.h>

#define NAME_OF(macro) NAME_OF_(macro)
#define NAME_OF_(name) #name

#if defined(__x86_64__)
#define GETCONTEXT_NAME "_Ux86_64_getcontext"
#define slow_getcontext(context) unw.getcontext(context)
/* unw_is_signal_frame is true of the interrupted frame, not of the trampoline below it. */
#define SIGNAL_FRAME_IS_INTERRUPTED true
#else
#define GETCONTEXT_NAME NULL /* a macro of assembly, no function */
#define slow_getcontext(context) unw_tdep_getcontext(context)
#define SIGNAL_FRAME_IS_INTERRUPTED false
#endif

static struct {
    int (*getcontext)(unw_tdep_context_t *context);
    int (*init_local)(unw_cursor_t *cursor, unw_context_t *context);
    int (*step)(unw_cursor_t *cursor);
    int (*get_reg)(unw_cursor_t *cursor, int number, unw_word_t *value);
    int (*is_signal_frame)(unw_cursor_t *cursor);
    int (*set_caching_policy)(unw_addr_space_t space, unw_caching_policy_t policy);
    unw_addr_space_t *local_space;
    bool loaded;
} unw;

static const struct {
    void *target;
    const char *name;
} symbols[] = {
    {&unw.getcontext, GETCONTEXT_NAME},
    {&unw.init_local, NAME_OF(unw_init_local)},
    {&unw.step, NAME_OF(unw_step)},
    {&unw.get_reg, NAME_OF(unw_get_reg)},
    {&unw.is_signal_frame, NAME_OF(unw_is_signal_frame)},
    {&unw.set_caching_policy, NAME_OF(unw_set_caching_policy)},
    {&unw.local_space, NAME_OF(unw_local_addr_space)},
};

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
    unw.set_caching_policy(*unw.local_space, UNW_CACHE_NONE);
    unw.loaded = true;
    struct unwind_start start = {0, (uintptr_t)frame, 0};
    slow_walk(&start, frames, ARRAY_SIZE(frames)); /* what it sets up on first use is set up now */
    return 0;
}

bool slow_present(void)
{
    return unw.loaded;
}

#define PAGES_KNOWN 32u

/* Whether the code at `pc` can be read; pages found readable in this walk are remembered in `pages`. */
static bool code_readable(uintptr_t *pages, uintptr_t pc)
{
    uintptr_t page = pc >> 12, *known = &pages[page % PAGES_KNOWN];

    if (*known == page)
        return true;
    if (!memory_probe(pc))
        return false;
    *known = page;
    return true;
}

/* Steps out to the frame whose stack pointer is start->sp. */
static bool find_start(unw_cursor_t *cursor, const struct unwind_start *start)
{
    unw_word_t pc, sp;

    while (unw.step(cursor) > 0) {
        if (unw.get_reg(cursor, UNW_REG_SP, &sp) < 0 || unw.get_reg(cursor, UNW_REG_IP, &pc) < 0)
            return false;
        if (sp >= start->sp)
            return sp == start->sp && pc == start->pc;
    }
    return false;
}

__attribute__((noinline)) unsigned slow_walk(const struct unwind_start *start, struct slow_frame *frames, unsigned max)
{
    unw_context_t context;
    unw_cursor_t cursor;
    unw_word_t pc, sp, last = start->sp;
    unsigned count = 1, backward = 0;
    uintptr_t pages[PAGES_KNOWN] = {0};

    if (!max)
        return 0;
    frames[0] = (struct slow_frame){start->pc, false};
    if (!unw.loaded)
        return 1;
    slow_getcontext(&context);
    if (unw.init_local(&cursor, &context) < 0 || !find_start(&cursor, start))
        return 1;
    while (count < max) {
        /* libunwind repairs a jump to a bad address by a guess from its own frame; here such a pc ends the stack. */
        if (!code_readable(pages, frames[count - 1].pc))
            break;
        bool exact = unw.is_signal_frame(&cursor) > 0;
        if (unw.step(&cursor) <= 0 || unw.get_reg(&cursor, UNW_REG_IP, &pc) < 0 || pc < CODE_MIN)
            break;
        if (unw.get_reg(&cursor, UNW_REG_SP, &sp) < 0 || (sp <= last && ++backward > BACKWARD_MAX))
            break;
        last = sp;
        if (SIGNAL_FRAME_IS_INTERRUPTED)
            exact = unw.is_signal_frame(&cursor) > 0;
        frames[count++] = (struct slow_frame){pc, exact};
    }
    return count;
}
