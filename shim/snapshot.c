/* SPDX-License-Identifier: MIT */
#include "snapshot.h"

#include "arena.h"
#include "calm.h"
#include "event.h"
#include "ledger.h"
#include "log.h"
#include "memshim/report.h"
#include "modules.h"
#include "own_stack.h"
#include "pause.h"
#include "pymem.h"
#include "real.h"
#include "snapshot_copy.h"
#include "start.h"
#include "thread.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define COPY_PATIENCE 30   /* seconds for the copy of the ledger */
#define TRIES 3            /* each may cost a second, in which other threads wait */
#define LOOK_NS 20000000L  /* whether the copy is still there */
#define COLLECT_PATIENCE 2 /* seconds until the main thread has run Python code */

/* One at a time: taken without waiting, because a signal handler may have interrupted its holder. */
static int busy;
static struct snapshot *current;
static pid_t unreaped;    /* copy whose end nobody has waited for; invisible to the program's own waits */
static uint32_t served;   /* request of another process */
static bool installed;    /* the handler of the signal */
static unsigned failures; /* of one request, one after the other */
static bool signalled;    /* a signal has asked, and it could not be done then */
static bool queued;       /* serve_between will run */
static int64_t too_late;  /* nanoseconds: from then on it is not waited for any longer; 0 = it is not waited for */

/* Of the signal; the kernel's number, because timer_create would allocate. */
static struct {
    bool made;
    int timer;
} reminder;

/* ---- names ---- */

/* "dir/a.jsonl" -> "dir/a.snapshot-2.jsonl" */
static int name_report(struct snapshot *snapshot, const char *path)
{
    const char *output = ledger_header->output, suffix[] = MEMSHIM_REPORT_SUFFIX;
    size_t stem = strlen(output), size = sizeof(snapshot->path);
    int length;

    if (stem >= strlen(suffix) && strcmp(output + stem - strlen(suffix), suffix) == 0)
        stem -= strlen(suffix);
    if (path)
        length = snprintf(snapshot->path, size, "%s", path);
    else
        length = snprintf(snapshot->path, size, "%.*s" MEMSHIM_SNAPSHOT_INFIX "%u%s", (int)stem, output,
                          snapshot->number, suffix);
    return length < 0 || (size_t)length >= size ? -ENAMETOOLONG : 0;
}

/* ---- the copy ---- */

/* As fork, but without the program's handlers, and with no signal at its end. */
static pid_t copy_process(void)
{
    long pid = syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
    /* -EAGAIN says that it is worth while to try again soon; a limit of processes does not go away. */
    return pid >= 0 ? (pid_t)pid : errno == EAGAIN ? -ENOMEM : -errno;
}

/* Reaps the copy. Returns its status as -errno. */
static int wait_for(pid_t pid)
{
    int status;
    pid_t ended;

    do {
        ended = waitpid(pid, &status, __WCLONE);
    } while (ended < 0 && errno == EINTR);
    if (ended < 0)
        return -errno;
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

/* Does not reap it: it may have done all of its work. */
static bool has_ended(pid_t pid)
{
    siginfo_t info = {0};

    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT | __WCLONE) == 0 && info.si_pid == pid;
}

/* Waits until the copy has what must not change. Returns 0, or why it never will; the copy is reaped then. */
static int wait_until_taken(const struct snapshot *snapshot, pid_t pid)
{
    const struct timespec look = {.tv_nsec = LOOK_NS};

    for (long tries = 0; tries < COPY_PATIENCE * (1000000000L / LOOK_NS); tries++) {
        if (__atomic_load_n(snapshot->taken, __ATOMIC_ACQUIRE))
            return 0;
        syscall(SYS_futex, snapshot->taken, FUTEX_WAIT, 0, &look, NULL, 0);
        if (has_ended(pid) && !__atomic_load_n(snapshot->taken, __ATOMIC_ACQUIRE)) {
            int result = wait_for(pid);
            return result < 0 ? result : -EIO;
        }
    }
    kill(pid, SIGKILL);
    wait_for(pid);
    return -ETIMEDOUT;
}

/* Copies the process while nothing happens in it. Returns the copy's pid, or -errno. */
static pid_t copy_in_pause(struct snapshot *snapshot)
{
    if (!pause_begin())
        return -EAGAIN;
    if (!scan_threads_read(&snapshot->threads, pause_place())) {
        pause_end();
        return -ENOMEM;
    }
    pid_t pid = copy_process();
    if (pid == 0)
        snapshot_copy_work(snapshot);
    int result = pid < 0 ? pid : wait_until_taken(snapshot, pid);
    pause_end();
    scan_threads_done(&snapshot->threads);
    return result < 0 ? result : pid;
}

struct order {
    const char *path;
    uint32_t request;
    bool uncollected;
    int result; /* pid of the copy, or -errno */
};

static void place_order(void *argument)
{
    struct order *order = argument;
    struct snapshot *snapshot = current;

    snapshot->number = ++ledger_header->snapshots;
    snapshot->request = order->request;
    snapshot->uncollected = order->uncollected;
    snapshot->scan = start_options.leak_check && !sample_mean;
    order->result = name_report(snapshot, order->path);
    if (order->result == 0 && access(snapshot->path, F_OK) == 0)
        order->result = -EEXIST;
    if (order->result == 0)
        order->result = copy_in_pause(snapshot);
}

static bool make_room(void)
{
    if (!current)
        current = arena_map(sizeof(*current));
    if (current && !current->taken) {
        void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        current->taken = page == MAP_FAILED ? NULL : page;
    }
    if (!current || !current->taken)
        return false;
    *current->taken = 0;
    return true;
}

/* Inside the guard. Returns the copy's pid, or -errno. *ret_number: of the snapshot. */
static int take(const char *path, uint32_t request, bool uncollected, int *ret_number)
{
    sigset_t all, before;
    int cancel;
    struct order order = {.path = path, .request = request, .uncollected = uncollected, .result = -ENOMEM};

    if (ledger_header->pid != getpid()) /* in a child of vfork */
        return -ENODEV;
    if (__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE))
        return -EBUSY;
    sigfillset(&all);
    calm_mask(SIG_BLOCK, &all, &before);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    snapshot_reap();
    if (make_room())
        own_stack_run(place_order, &order);
    if (order.result >= 0)
        *ret_number = (int)current->number;
    pthread_setcancelstate(cancel, NULL);
    __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
    calm_mask(SIG_SETMASK, &before, NULL);
    return order.result;
}

/* ---- by a call ---- */

static bool wants_collection(const struct pyapi *api)
{
    return start_options.snapshot_collect && api && api->is_initialized();
}

/* Where the caller holds the interpreter's lock. False: it should be done, and was not. */
static bool collect(void)
{
    const struct pyapi *api = pymem_api();

    if (!wants_collection(api))
        return true;
    if (!api->collect || !api->holds_lock || !api->holds_lock())
        return false;
    api->collect();
    return true;
}

static int take_and_wait(const char *path, bool uncollected)
{
    int number = 0, cancel;

    if (!thread_enter())
        return *thread_generation == THREAD_INACTIVE ? -ENODEV : -EAGAIN;
    thread_local_state.busy = BUSY_NESTED;
    if (!ledger_header->forked) /* see modules_fork_child */
        modules_update();
    int pid = take(path, 0, uncollected, &number);
    thread_leave();
    if (pid < 0)
        return pid;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    int result = wait_for(pid);
    pthread_setcancelstate(cancel, NULL);
    return result < 0 ? result : number;
}

int snapshot_take(const char *path)
{
    int saved = errno;

    bool collected = collect();
    int result = take_and_wait(path, !collected);
    errno = saved;
    return result;
}

/* ---- by request ---- */

void snapshot_reap(void)
{
    pid_t pid = __atomic_load_n(&unreaped, __ATOMIC_RELAXED);
    int saved = errno;

    if (pid > 0 && waitpid(pid, NULL, __WCLONE | WNOHANG) != 0)
        __atomic_compare_exchange_n(&unreaped, &pid, 0, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    errno = saved;
}

/* ---- garbage first ----
 *
 * It can be collected between two instructions of Python only, and the interpreter lets us in there in its main thread alone: the
 * collector must not run in the middle of an allocation. That thread may be in C for as long as the program runs. */

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void begin_to_wait(void)
{
    if (!too_late)
        too_late = now() + COLLECT_PATIENCE * INT64_C(1000000000);
}

static bool is_too_late(void)
{
    return too_late && now() >= too_late;
}

static bool is_asked_for(void)
{
    return __atomic_load_n(&ledger_header->requested, __ATOMIC_RELAXED) != served || signalled;
}

bool snapshot_is_wanted(void)
{
    return is_asked_for() && (!queued || !too_late || is_too_late());
}

static void answer_failure(uint32_t request, int error)
{
    log_line(request ? 1 : 0, "no snapshot: %s", strerror(-error));
    if (!request)
        return;
    ledger_header->answer_error = error;
    __atomic_store_n(&ledger_header->answered, request, __ATOMIC_RELEASE);
}

/* Inside the guard. Returns -EAGAIN when it should be tried again later. */
static int serve(bool uncollected)
{
    uint32_t requested = __atomic_load_n(&ledger_header->requested, __ATOMIC_ACQUIRE);
    int number;

    int pid = take(NULL, requested != served ? requested : 0, uncollected, &number);
    if (pid == -EBUSY || (pid == -EAGAIN && ++failures < TRIES))
        return -EAGAIN;
    failures = 0;
    if (pid < 0)
        answer_failure(requested != served ? requested : 0, pid);
    else
        unreaped = pid;
    served = requested;
    signalled = false;
    too_late = 0;
    return 0;
}

static void serve_later(void)
{
    signalled = true;
    thread_local_state.after |= AFTER_SNAPSHOT;
}

/* Runs in the main thread, between two instructions of Python. */
static int serve_between(void *context)
{
    const struct pyapi *api = pymem_api();

    (void)context;
    if (is_asked_for() && api && api->collect)
        api->collect();
    if (is_asked_for() && thread_enter()) {
        thread_local_state.busy = BUSY_NESTED;
        if (serve(false) < 0)
            serve_later();
        thread_leave();
    }
    queued = false;
    return 0;
}

static bool ask_interpreter(void)
{
    const struct pyapi *api = pymem_api();

    if (!queued)
        queued = api->collect && api->add_pending_call && api->add_pending_call(serve_between, NULL) == 0;
    return queued;
}

void snapshot_serve(void)
{
    int saved = errno;

    if (!snapshot_is_wanted())
        return;
    bool collection = wants_collection(pymem_api());
    if (collection && !is_too_late() && ask_interpreter())
        begin_to_wait();
    else if (serve(collection) < 0)
        signalled = true; /* at the next look */
    errno = saved;
}

/* ---- by a signal ---- */

/* The signal comes again when it is too late, in case that no thread has an event until then. */
static void remind(int number)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = number};
    const struct itimerspec once = {.it_value.tv_sec = COLLECT_PATIENCE + 1};

    if (!reminder.made)
        reminder.made = syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &reminder.timer) == 0;
    if (reminder.made)
        syscall(SYS_timer_settime, reminder.timer, 0, &once, NULL);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    bool collection = wants_collection(pymem_api()), wait = collection && !is_too_late();

    (void)context;
    if (info->si_code == SI_TIMER && !is_asked_for())
        return;
    if (wait) {
        begin_to_wait();
        remind(number);
    }
    /* Inside an event, or where the interpreter must be asked first: at the end of this event or the next. */
    if (wait || !thread_enter()) {
        serve_later();
    } else {
        thread_local_state.busy = BUSY_NESTED;
        if (serve(collection) < 0)
            serve_later();
        thread_leave();
    }
    errno = saved;
}

/* A program that handles the signal itself, from the start or later, keeps it. */
void snapshot_init(int number)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK}, old;

    if (!number)
        return;
    sigfillset(&action.sa_mask);
    if (real.sigaction(number, NULL, &old) == 0 && old.sa_handler == SIG_DFL &&
        real.sigaction(number, &action, NULL) == 0)
        installed = true;
    ledger_header->snapshot_signal = installed ? (uint32_t)number : 0;
}

void snapshot_fork_child(void)
{
    busy = 0;
    failures = 0;
    unreaped = 0;
    served = 0;
    signalled = queued = false;
    too_late = 0;
    reminder.made = false; /* timers are the parent's */
    if (current && current->taken)
        munmap(current->taken, 4096);
    if (current)
        current->taken = NULL;
    ledger_header->snapshot_signal = installed ? (uint32_t)start_options.snapshot_signal : 0;
}
