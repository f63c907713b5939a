/* SPDX-License-Identifier: MIT */
#include "start.h"

#include "arena.h"
#include "block.h"
#include "calm.h"
#include "errors.h"
#include "event.h"
#include "fault.h"
#include "guard.h"
#include "guarded.h"
#include "labels.h"
#include "ledger.h"
#include "ledger_view.h"
#include "log.h"
#include "marks.h"
#include "mempools.h"
#include "memshim/report.h"
#include "modules.h"
#include "objects.h"
#include "own_stack.h"
#include "pages.h"
#include "pause.h"
#include "predecessor.h"
#include "preload.h"
#include "pycompat.h"
#include "pyframes.h"
#include "pymem.h"
#include "quarantine.h"
#include "real.h"
#include "report_writer.h"
#include "sample.h"
#include "scan.h"
#include "side_table.h"
#include "signals.h"
#include "snapshot.h"
#include "stacks.h"
#include "start_ledger.h"
#include "thread.h"
#include "tracked.h"
#include "unwind.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <time.h>

#define DESCRIPTOR_MIN 100 /* descriptors below are the program's */

struct options start_options;
bool start_phase = true;

static uint32_t generation;
static bool ended;

void start_program_begins(void)
{
    start_phase = false;
    ledger_header->program_started = 1;
    event_settle();
}

/* A program that is an interpreter starts its own code later (pyframes_program_started). */
static bool is_interpreter(void)
{
    Dl_info interpreter, executable;
    void *entry = dlsym(RTLD_DEFAULT, "Py_BytesMain");

    if (!entry)
        return false;
    return strncmp(start_program, "python", 6) == 0 ||
           (dladdr(entry, &interpreter) && dladdr((void *)getauxval(AT_ENTRY), &executable) &&
            interpreter.dli_fbase == executable.dli_fbase);
}

void start_main_begins(void)
{
    uint8_t busy = thread_local_state.busy;

    thread_local_state.busy = BUSY_NESTED;
    if (!pymem_present || !start_options.python || !is_interpreter())
        start_program_begins();
    dlerror();
    thread_local_state.busy = busy;
}

bool start_recording(bool on)
{
    static uint64_t wanted; /* domains, while it is off */
    static int off;
    bool was_off = __atomic_exchange_n(&off, !on, __ATOMIC_ACQ_REL);

    if (was_off == !on)
        return !was_off;
    if (!on) {
        wanted = start_options.domains;
        start_options.domains = 0;
    } else {
        start_options.domains = wanted;
    }
    event_settle();
    return !was_off;
}

/* ---- the beginning ---- */

static void warn(void *context, const char *message)
{
    (void)context;
    log_line(0, "MEMSHIM_OPTIONS: %s", message);
}

/* Options that this version knows and does not serve yet. */
static void check_options(void)
{
    if (start_options.domains & 1u << DOMAIN_MMAP) {
        log_line(0, "this version has no domains=mmap: going on without");
        ledger_lacks(LACK_OPTION);
    }
}

/* Whether an item of LD_PRELOAD is the shim, which the loader has loaded as `self`. */
static bool is_shim(const char *item, size_t length, const char *self)
{
    static const char token[] = "/$LIB";
    size_t self_length = strlen(self);

    if (length > sizeof(token) - 1 && strncmp(item, PRELOAD_GNU_ONLY, sizeof(PRELOAD_GNU_ONLY) - 1) == 0) {
        /* What stands in the place of the token is not ours to know. */
        item += sizeof(token) - 1;
        length -= sizeof(token) - 1;
        self += self_length > length ? self_length - length : 0;
        self_length = strlen(self);
    }
    return length == self_length && strncmp(item, self, length) == 0;
}

/* Takes the shim out of the environment, so that programs started from here run without it. */
static void leave_environment(void)
{
    Dl_info self;
    const char *preload = getenv("LD_PRELOAD");
    char rest[8192];
    size_t used = 0;

    unsetenv("MEMSHIM_OPTIONS");
    if (!preload || strlen(preload) >= sizeof(rest) || !dladdr(&start_options, &self))
        return;
    while (*preload) {
        size_t length = strcspn(preload, ": ");
        if (length && !is_shim(preload, length, self.dli_fname))
            used += (size_t)snprintf(rest + used, sizeof(rest) - used, "%s%.*s", used ? ":" : "", (int)length, preload);
        preload += length + (preload[length] != '\0');
    }
    rest[used] = '\0';
    if (used)
        setenv("LD_PRELOAD", rest, 1);
    else
        unsetenv("LD_PRELOAD");
}

/* Where the kernel does not wipe the word itself. The child's ledger is made at its first event: most children of a fork do
 * nothing but exec, and shall not pay for one. */
static void fork_child(void)
{
    signals_fork_child();
    own_stack_fork_child();
    pause_fork_child();
    if (*thread_generation != THREAD_INACTIVE)
        *thread_generation = 0;
    if (thread_local_state.busy)
        thread_fork_inside();
}

static void at_exit(int status, void *context)
{
    (void)context;
    start_process_ends(status);
}

/* quick_exit tells its handlers no status: its hook leaves it here. */
int start_quick_status;

static void at_quick_exit_last(void)
{
    start_process_ends(start_quick_status);
}

static void read_options(void)
{
    options_defaults(&start_options);
    options_parse(&start_options, secure_getenv("MEMSHIM_OPTIONS"), NULL, NULL);
    log_verbosity = (unsigned)start_options.verbosity;
    options_defaults(&start_options);
    options_parse(&start_options, secure_getenv("MEMSHIM_OPTIONS"), warn, NULL);
}

/* Handlers registered here run after all of the program's: they come before the loader's own in the list. */
static int register_handlers(void)
{
    if (pthread_atfork(unwind_fork_prepare, unwind_fork_parent, fork_child) || on_exit(at_exit, NULL) ||
        at_quick_exit(at_quick_exit_last))
        return -ENOMEM;
    return thread_init();
}

/* libunwind opens a pipe (it tests with it whether memory can be read). It shall not be seen among the program's
 * descriptors: the low ones are taken while it does. */
static void init_unwinder(void)
{
    int taken[DESCRIPTOR_MIN];
    int count = 0, fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    for (; fd >= 0 && fd < DESCRIPTOR_MIN; fd = fcntl(fd, F_DUPFD_CLOEXEC, fd + 1))
        taken[count++] = fd;
    bool high_left = fd >= 0;
    if (high_left)
        close(fd);
    else /* the limit is that low: better a visible pipe than none */
        for (; count; count--)
            close(taken[count - 1]);
    unwind_init((unsigned)start_options.stack_depth, start_options.self_check);
    for (; count; count--)
        close(taken[count - 1]);
}

static void begin(void *unused)
{
    (void)unused;
    read_options();
    start_ledger_init();
    if (getrandom(&block_secret, sizeof(block_secret), GRND_NONBLOCK) < 0)
        block_secret = (uint64_t)(uintptr_t)__builtin_frame_address(0) ^ (uint64_t)time(NULL) << 20;
    guard_init(start_options.guard, start_options.fill);
    fault_init();
    quarantine_init(start_options.quarantine);
    labels_init(event_settle);
    errors_init(start_options.error_limit, start_options.abort_on_error);
    report_use_memory(real.malloc, real.free);
    scan_start();
    predecessor_report();
    if (start_ledger_open(false) < 0 || register_handlers() < 0)
        return;
    if (!start_options.children)
        leave_environment();
    check_options();
    sample_mean = start_options.sample;
    modules_update();
    if (start_options.native)
        init_unwinder();
    pages_init(start_options.guard_pages);
    marks_init(start_options.growth);
    snapshot_init((int)start_options.snapshot_signal);
    pymem_start(RTLD_DEFAULT);
    thread_activate(++generation);
}

__attribute__((constructor(101))) static void construct(void)
{
    real_init();
    /* Set-user-id programs: the loader has cleaned the environment already; what is left is none of ours. */
    if (getauxval(AT_SECURE))
        return;
    thread_local_state.busy = BUSY_NESTED;
    own_stack_init();
    own_stack_run(begin, NULL);
    thread_local_state.busy = 0;
}

/* ---- forks ---- */

static uint32_t begin_forked_child(void)
{
    if (!start_options.children) {
        pages_fork_child();
        ledger_abandon(thread_forked_inside());
        thread_deactivate();
        return THREAD_INACTIVE;
    }
    arena_fork_child();
    thread_fork_child();
    sample_fork_child();
    side_table_fork_child(&side_blocks);
    tracked_fork_child();
    mempools_fork_child();
    labels_fork_child();
    event_settle();
    ledger_abandon(thread_forked_inside());
    stacks_reset();
    records_reset();
    pyframes_reset();
    quarantine_fork_child();
    pages_fork_child();
    errors_fork_child();
    fault_fork_child();
    ended = false;
    if (start_ledger_open(true) < 0) {
        thread_deactivate();
        return THREAD_INACTIVE;
    }
    if (start_options.native)
        unwind_fork_child();
    pymem_fork_child();
    modules_fork_child();
    marks_fork_child();
    snapshot_fork_child();
    thread_activate(++generation);
    return generation;
}

static void begin_forked_child_at(void *made)
{
    *(uint32_t *)made = begin_forked_child();
}

uint32_t start_forked_child(void)
{
    uint32_t made = THREAD_INACTIVE;

    own_stack_run(begin_forked_child_at, &made);
    return made;
}

/* ---- the end ---- */

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Leaves the ledger in place when the report cannot be written: the analyzer makes it later. */
static void write_report(void)
{
    struct ledger_view view;
    const char *why = "";
    struct calm calm;

    calm_begin(&calm); /* a failed write is noticed as such */
    int fd = ledger_descriptor();
    int result = fd < 0 ? fd : ledger_view_open_fd(&view, fd, &why);

    if (result == 0) {
        result = report_write_file(&view, NULL, ledger_header->output);
        ledger_view_close(&view);
    }
    if (result == 0)
        ledger_remove();
    else
        log_line(0, "cannot write '%s': %s; the ledger is '%s'", ledger_header->output, strerror(-result),
                 ledger_place());
    calm_end(&calm);
}

/* True in the process that the ledger describes: not in a vfork child, which shares its memory. */
static bool is_own_process(void)
{
    return *thread_generation != THREAD_INACTIVE && ledger_header->pid == getpid();
}

struct ending {
    int status;
    void *const *frame; /* of start_process_ends */
};

static void end_process(void *argument)
{
    const struct ending *ending = argument;
    uint8_t busy = thread_local_state.busy;

    objects_tell_end();
    guarded_check_all(ending->frame);
    thread_local_state.busy = BUSY_NESTED;
    if (!ledger_header->forked) /* see modules_fork_child */
        modules_update();
    ledger_header->status = ending->status;
    ledger_header->ended_at = now();
    __atomic_store_n(&ledger_header->ended, END_EXIT, __ATOMIC_RELEASE);
    objects_end();
    if (start_options.leak_check && !sample_mean)
        scan_run(&(struct scan_options){.python = pymem_api(), .types = true, .growth = marks_suffice()});
    write_report();
    thread_local_state.busy = busy;
}

static void look(void *drop)
{
    uint8_t busy = thread_local_state.busy;

    thread_local_state.busy = BUSY_NESTED;
    scan_run(&(struct scan_options){.python = pymem_api(), .look = true, .growth = marks_suffice(), .drop = drop});
    thread_local_state.busy = busy;
}

static bool looked;

void start_interpreter_may_end(void)
{
    const struct pyapi *api = pymem_api();
    const uintptr_t *finalizing = api && !looked ? pycompat_finalizing(api) : NULL;
    int saved = errno;

    if (!finalizing || !*finalizing || ended || !start_options.leak_check || sample_mean || !is_own_process() ||
        __atomic_exchange_n(&looked, true, __ATOMIC_ACQ_REL) ||
        !(scan_look_wanted() || marks_suffice() || scan_states_many(api)))
        return;
    own_stack_run(look, NULL);
    errno = saved;
}

/* Since 3.9 it begins with the thread states of others, when they are in its list no longer. */
__attribute__((noinline)) void start_interpreter_drops(const void *p)
{
    const struct pyapi *api = pymem_api();

    if (looked || ended || !api || !scan_states_is_one(api, p) || p == api->current_thread_state() ||
        !api->current_thread_state() || !start_options.leak_check || sample_mean || !is_own_process() ||
        __atomic_exchange_n(&looked, true, __ATOMIC_ACQ_REL))
        return;
    struct scan_drop drop;
    int saved = errno;
    scan_states_drop(&drop, p, (uintptr_t)__builtin_frame_address(0));
    own_stack_run(look, &drop);
    errno = saved;
}

void start_process_ends(int status)
{
    if (*thread_generation == 0 && thread_enter())
        thread_leave(); /* a fork without an event so far */
    if (!is_own_process() || __atomic_exchange_n(&ended, true, __ATOMIC_ACQ_REL))
        return;
    own_stack_run(end_process, &(struct ending){status, UNWIND_HERE});
}

void start_process_replaced(bool replaced)
{
    if (!is_own_process() || ended)
        return;
    ledger_header->ended_at = replaced ? now() : 0;
    __atomic_store_n(&ledger_header->ended, replaced ? END_EXEC : END_NONE, __ATOMIC_RELEASE);
}
