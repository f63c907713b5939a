/* SPDX-License-Identifier: MIT */
#include "pymem.h"

#include "capture.h"
#include "event.h"
#include "guard.h"
#include "imports.h"
#include "ledger.h"
#include "lock.h"
#include "log.h"
#include "place.h"
#include "pyarenas.h"
#include "pycompat.h"
#include "pyframes.h"
#include "pymem_sampled.h"
#include "pysame.h"
#include "quarantine.h"
#include "real.h"
#include "side_table.h"
#include "start.h"
#include "thread.h"

#include <dlfcn.h>
#include <string.h>

#define HERE UNWIND_HERE

_hot_data_ uint8_t pymem_watching;
bool pymem_present;
_hot_data_ bool pymem_captures, pymem_captures_wide;
bool pymem_checks_lock;
bool pymem_many_heaps;
uintptr_t pymem_main;
uintptr_t pymem_code_start;
size_t pymem_code_size;

static struct pyapi api;
struct pymem_generation pymem_generations[PYMEM_GENERATIONS_MAX];
static unsigned generation_count;
static void *(*current_interpreter)(void), *(*main_interpreter)(void);
static struct lock lock;
const uintptr_t *pymem_finalizing;

static const enum block_domain block_domains[PY_DOMAIN_COUNT] = {
    [PY_RAW] = DOMAIN_RAW,
    [PY_MEM] = DOMAIN_MEM,
    [PY_OBJ] = DOMAIN_OBJ,
};

/* ---- the hooks ---- */

/* RAW requests reach libc, whose hooks record them: here they only get their name. A request inside another recorded one
 * (a large MEM request) is not named. */
#define RAW_CALL(bytes, call) \
    ({ \
        struct thread_local_state *state_ = &thread_local_state; \
        const struct python_origin *hook_ = context; \
        const struct py_allocator *allocator_ = hook_->allocator; \
        struct origin origin_ = {DOMAIN_RAW, HERE, (bytes), ORIGIN_SLACK}; \
        const struct origin *outer_ = state_->origin; \
        if (!outer_ && !state_->busy) \
            state_->origin = &origin_; \
        void *result_ = allocator_->call; \
        state_->origin = outer_; \
        result_; \
    })

void *pymem_raw_malloc(void *context, size_t size)
{
    return RAW_CALL(size, malloc(allocator_->context, size));
}

void *pymem_raw_calloc(void *context, size_t count, size_t size)
{
    return RAW_CALL(count * size, calloc(allocator_->context, count, size));
}

void *pymem_raw_realloc(void *context, void *p, size_t size)
{
    return RAW_CALL(size, realloc(allocator_->context, p, size));
}

void pymem_raw_free(void *context, void *p)
{
    struct thread_local_state *state = &thread_local_state;
    const struct python_origin *hook = context;
    struct origin origin = {DOMAIN_RAW, HERE, 0, SIZE_MAX};
    const struct origin *outer = state->origin;

    if (unlikely(pymem_finalizes()))
        start_interpreter_drops(p);
    if (!outer && !state->busy)
        state->origin = &origin;
    hook->allocator->free(hook->allocator->context, p);
    state->origin = outer;
}

static void *python_calloc(void *context, size_t count, size_t size)
{
    return capture_python_calloc(context, count, size, HERE);
}

static void *python_realloc(void *context, void *p, size_t size)
{
    return capture_python_realloc(context, p, size, HERE);
}

static void *aside_malloc(void *context, size_t size)
{
    return capture_aside_malloc(context, size, HERE);
}

static void *aside_calloc(void *context, size_t count, size_t size)
{
    return capture_aside_calloc(context, count, size, HERE);
}

static void *aside_realloc(void *context, void *p, size_t size)
{
    return capture_aside_realloc(context, p, size, HERE);
}

static void aside_free(void *context, void *p)
{
    capture_aside_free(context, p, HERE);
}

/* ---- requests that must not reach the interpreter ---- */

#define LIBC_GENERATION (PYMEM_GENERATIONS_MAX - 1)

static void *libc_malloc(void *context, size_t size)
{
    (void)context;
    return real.malloc(size);
}

static void *libc_calloc(void *context, size_t count, size_t size)
{
    (void)context;
    return real.calloc(count, size);
}

static void *libc_realloc(void *context, void *p, size_t size)
{
    (void)context;
    return real.realloc(p, size);
}

static void libc_free(void *context, void *p)
{
    (void)context;
    real.free(p);
}

static void make_libc_generation(void)
{
    static const struct py_allocator libc = {NULL, libc_malloc, libc_calloc, libc_realloc, libc_free};
    struct pymem_generation *generation = &pymem_generations[LIBC_GENERATION];

    for (unsigned domain = 0; domain < PY_DOMAIN_COUNT; domain++) {
        generation->saved[domain] = libc;
        generation->origins[domain] =
            capture_python_origin(&generation->saved[domain], block_domains[domain], LIBC_GENERATION);
    }
}

const struct python_origin *pymem_libc_origin(enum block_domain domain)
{
    return &pymem_generations[LIBC_GENERATION].origins[domain == DOMAIN_MEM ? PY_MEM : PY_OBJ];
}

/* Since 3.12 subinterpreters may have heaps of their own. */
bool pymem_looks_at_interpreter(void)
{
    if (!current_interpreter || current_interpreter() != main_interpreter())
        return false;
    pymem_main = (uintptr_t)main_interpreter();
    return true;
}

/* ---- installation ---- */

static bool is_hook(const struct py_allocator *allocator)
{
    return allocator->malloc == pymem_raw_malloc || allocator->malloc == capture_python_hook_malloc ||
           allocator->malloc == capture_python_hook_malloc_wide || allocator->malloc == capture_guarded_hook_malloc ||
           allocator->malloc == capture_guarded_hook_malloc_wide || pymem_sampled_is_hook(allocator) ||
           allocator->malloc == aside_malloc;
}

static bool same_allocators(const struct pymem_generation *a, const struct pymem_generation *b)
{
    return memcmp(a->saved, b->saved, sizeof(a->saved)) == 0;
}

/* CPython's debug hooks: their context begins with the letter of the domain. Other allocators of CPython's have none, or one
 * that begins with a pointer. */
static bool is_debug(const struct py_allocator *allocator, enum py_domain domain)
{
    static const char letters[PY_DOMAIN_COUNT] = {[PY_RAW] = 'r', [PY_MEM] = 'm', [PY_OBJ] = 'o'};
    const char *context = allocator->context;

    return context && *context == letters[domain];
}

/* The interpreter's own allocator, and not libc's that it has for PyMem_RawMalloc. */
static bool is_pymalloc(const struct pymem_generation *generation, enum py_domain domain)
{
    const struct py_allocator *allocator = &generation->saved[domain];

    return (uintptr_t)allocator->malloc - pymem_code_start < pymem_code_size && !is_debug(allocator, domain) &&
           allocator->malloc != generation->saved[PY_RAW].malloc;
}

/* The generation with these saved allocators: an earlier one, or a new one; NULL when there were too many. */
static struct pymem_generation *keep_generation(const struct pymem_generation *found)
{
    for (unsigned i = 0; i < generation_count; i++)
        if (same_allocators(&pymem_generations[i], found))
            return &pymem_generations[i];
    if (generation_count == LIBC_GENERATION)
        return NULL;
    struct pymem_generation *generation = &pymem_generations[generation_count];
    *generation = *found;
    for (unsigned domain = 0; domain < PY_DOMAIN_COUNT; domain++) {
        generation->origins[domain] =
            capture_python_origin(&generation->saved[domain], block_domains[domain], (uint8_t)generation_count);
        generation->origins[domain].direct = is_pymalloc(generation, (enum py_domain)domain);
        pymem_sampled_begin(&generation->origins[domain]);
    }
    generation_count++;
    return generation;
}

/* An arena in which blocks are kept back is in use, unless the interpreter drops its whole heap. */
static void arena_goes(uintptr_t start, size_t size)
{
    if (!thread_local_state.busy)
        quarantine_forget_python(start, start + size);
}

/* Our allocator for a domain, on top of what generation->saved says. */
static struct py_allocator hook_for(struct pymem_generation *generation, enum py_domain domain)
{
    struct python_origin *origin = &generation->origins[domain];

    if (sample_mean && !is_debug(&generation->saved[domain], domain))
        return pymem_sampled_hooks(origin, domain);
    if (domain == PY_RAW)
        return (struct py_allocator){origin, pymem_raw_malloc, pymem_raw_calloc, pymem_raw_realloc, pymem_raw_free};
    if (is_debug(&generation->saved[domain], domain))
        return (struct py_allocator){origin, aside_malloc, aside_calloc, aside_realloc, aside_free};
    if (guard_active && pysame_wide)
        return (struct py_allocator){origin, capture_guarded_hook_malloc_wide, capture_guarded_hook_calloc_wide,
                                     capture_guarded_hook_realloc_wide, capture_guarded_hook_free_wide};
    if (guard_active)
        return (struct py_allocator){origin, capture_guarded_hook_malloc, capture_guarded_hook_calloc,
                                     capture_guarded_hook_realloc, capture_guarded_hook_free};
    if (pysame_wide)
        return (struct py_allocator){origin, capture_python_hook_malloc_wide, python_calloc,
                                     capture_python_hook_realloc_wide, capture_python_hook_free};
    return (struct py_allocator){origin, capture_python_hook_malloc, python_calloc, python_realloc,
                                 capture_python_hook_free};
}

/* Puts our allocators on top of what is in the slots now. */
static void install(void)
{
    struct pymem_generation found;
    bool hooked[PY_DOMAIN_COUNT];

    memset(&found, 0, sizeof(found));
    for (int domain = 0; domain < PY_DOMAIN_COUNT; domain++) {
        api.get_allocator(domain, &found.saved[domain]);
        hooked[domain] = is_hook(&found.saved[domain]);
        event_looks_aside |= is_debug(&found.saved[domain], (enum py_domain)domain);
        if (hooked[domain])
            found.saved[domain] = *((const struct python_origin *)found.saved[domain].context)->allocator;
    }
    struct pymem_generation *generation = keep_generation(&found);
    if (!generation) {
        ledger_lacks(LACK_PYTHON_RESTARTS);
        return;
    }
    event_settle();
    for (int domain = 0; domain < PY_DOMAIN_COUNT; domain++) {
        struct py_allocator ours = hook_for(generation, (enum py_domain)domain);
        if (!hooked[domain])
            api.set_allocator(domain, &ours);
    }
    pyarenas_hook(&api, pymem_code_start, guard_active ? pymem_code_size : 0);
    if (guard_active) {
        quarantine_forget_python(0, UINTPTR_MAX); /* the interpreter may have begun anew, with another heap */
        pyarenas_watcher = arena_goes;
    }
    log_line(2, "allocators of Python %s hooked", api.version);
}

/* Whether a request for objects still comes to us first. Asking the slot is safe; allocating to find out is not (tracemalloc
 * allocates while it holds its lock). */
static bool is_replaced(struct py_allocator *current)
{
    api.get_allocator(PY_OBJ, current);
    return !is_hook(current);
}

/* The interpreter was reset, and its slots hold again what they held before one of our installations. */
static bool is_reset(const struct py_allocator *current)
{
    for (unsigned i = 0; i < generation_count; i++)
        if (pymem_generations[i].saved[PY_OBJ].malloc == current->malloc)
            return true;
    return false;
}

static bool runs(void)
{
    return api.is_initialized() || api.current_thread_state();
}

void pymem_watch(void)
{
    struct py_allocator current;

    if (!lock_try(&lock))
        return;
    if (pymem_watching == PYMEM_WATCH_EACH) {
        if (is_replaced(&current))
            install();
        if (api.current_thread_state())
            pymem_watching = PYMEM_WATCH_SOME;
    } else if (pymem_watching == PYMEM_WATCH_SOME && !runs() && is_replaced(&current) && is_reset(&current)) {
        install();
        pymem_watching = PYMEM_WATCH_EACH;
    }
    lock_give(&lock);
}

static bool wants_python(void)
{
    return start_options.domains & (1u << DOMAIN_RAW | 1u << DOMAIN_MEM | 1u << DOMAIN_OBJ);
}

static void describe(void)
{
    ledger_header->python_hex = api.hex;
    memcpy(ledger_header->python, api.version, sizeof(ledger_header->python));
}

static void set_captures(bool captures)
{
    pymem_captures = captures;
    pymem_captures_wide = captures && pysame_wide;
}

void pymem_start(void *handle)
{
    if (pymem_present)
        return;
    if (!pyapi_find(handle, &api)) {
        dlerror(); /* what the failed search left behind is not the program's business */
        return;
    }
    describe();
    pymem_captures_wide = false; /* not while it changes whose frames are read */
    /* Free-threaded builds: their collector walks the heap's blocks itself and would take a prefix for an object. */
    bool supported = pyframes_init(&api, (unsigned)start_options.stack_depth) == 0;
    bool free_threaded = ledger_header->lacks & LACK_FREE_THREADED;
    const struct ledger_module *module = place_module((uintptr_t)api.get_allocator);
    if (module) {
        pymem_code_start = module->start;
        pymem_code_size = module->end - module->start;
    }
    current_interpreter = (void *(*)(void))real.dlsym(handle, "PyInterpreterState_Get");
    main_interpreter = (void *(*)(void))real.dlsym(handle, "PyInterpreterState_Main");
    imports_find(handle);
    make_libc_generation();
    pymem_finalizing = pycompat_finalizing(&api);
    pymem_sampled_start();
    pymem_present = true;
    set_captures(start_options.python);
    quarantine_pool_size = api.hex >= 0x030a0000 ? 16384 : 4096; /* POOL_SIZE of Objects/obmalloc.c, 64-bit machines */
    pymem_many_heaps = api.hex >= 0x030c0000;
    pymem_checks_lock = guard_active && supported && !free_threaded;
    if (!supported)
        log_line(1, "Python %s: no Python stacks", api.version);
    if (!wants_python() || free_threaded)
        return;
    install();
    pymem_watching = PYMEM_WATCH_EACH;
}

const struct pyapi *pymem_api(void)
{
    return pymem_present ? &api : NULL;
}

void pymem_fork_child(void)
{
    lock_give(&lock);
    pyarenas_fork_child();
    if (pymem_present)
        describe();
}

/* What is off while a dlclose may unload the interpreter: from some point in there its code and data are gone, and the loader
 * still calls free. */
static struct {
    unsigned depth;
    uint8_t watching;
    bool captures, checks_lock;
} suspended;

bool pymem_suspend(void)
{
    if (!pymem_present || runs())
        return false;
    lock_take(&lock);
    if (suspended.depth++ == 0) {
        suspended.watching = pymem_watching;
        suspended.captures = pymem_captures;
        suspended.checks_lock = pymem_checks_lock;
        pymem_watching = PYMEM_WATCH_NOT;
        pymem_checks_lock = false;
        set_captures(false);
    }
    lock_give(&lock);
    return true;
}

void pymem_resume(void)
{
    pymem_module_gone();
    lock_take(&lock);
    if (--suspended.depth == 0 && pymem_present) {
        pymem_watching = suspended.watching;
        set_captures(suspended.captures);
        pymem_checks_lock = suspended.checks_lock;
    }
    lock_give(&lock);
}

void pymem_module_gone(void)
{
    Dl_info info;

    if (!pymem_present || dladdr((void *)(uintptr_t)api.get_allocator, &info))
        return;
    pymem_watching = PYMEM_WATCH_NOT;
    pymem_present = pymem_checks_lock = false;
    set_captures(false);
    pymem_code_size = 0;
    quarantine_forget_python(0, UINTPTR_MAX);
}
