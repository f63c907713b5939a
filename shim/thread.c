/* SPDX-License-Identifier: MIT */
#include "thread.h"

#include "arena.h"
#include "block.h"
#include "guard.h"
#include "labels.h"
#include "ledger.h"
#include "loader.h"
#include "lock.h"
#include "marks.h"
#include "pause.h"
#include "pyframes.h"
#include "snapshot.h"
#include "start.h"
#include "unwind.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

/* Not any real generation, and not what a wiped page holds. */
#define GENERATION_NONE (UINT32_MAX - 1)

_Thread_local struct thread_local_state thread_local_state = {.generation = GENERATION_NONE};

static uint32_t inactive = THREAD_INACTIVE;
_hot_data_ volatile uint32_t *thread_generation = &inactive;

static uint32_t current = THREAD_INACTIVE; /* *thread_generation, but for pauses and forks */
static int entering;                       /* threads in thread_enter_slow, which the lists may not show yet */

static struct lock lock; /* of the two lists */
static struct thread *free_threads, *all_threads;
static pthread_key_t key;

static struct thread *thread_new(void)
{
    struct thread *thread = arena_alloc(sizeof(*thread));
    if (!thread)
        return NULL;
    thread->unwind = unwind_thread_new();
    thread->python = pyframes_thread_new();
    thread->next_all = all_threads;
    all_threads = thread;
    return thread;
}

/* Counter slots go with the thread structure: a later thread goes on counting in the same one. */
static bool give_counters(struct thread *thread, uint32_t generation)
{
    if (thread->generation == generation)
        return true;
    uint32_t id = ledger_take(LEDGER_THREADS, 1);
    if (!id || !tally_begin(&thread->tallies))
        return false;
    thread->id = id;
    thread->counters = ledger_entry(LEDGER_THREADS, id);
    __atomic_store_n(&thread->counters->used, 1, __ATOMIC_RELEASE);
    thread->generation = generation;
    thread->process = (uint64_t)(uint16_t)generation << BLOCK_PROCESS_SHIFT;
    return true;
}

static struct thread *take(uint32_t generation)
{
    lock_take(&lock);
    struct thread *thread = free_threads;
    if (thread)
        free_threads = thread->next_free;
    else
        thread = thread_new();
    if (thread)
        thread->local = &thread_local_state;
    lock_give(&lock);
    if (thread && !give_counters(thread, generation)) {
        lock_take(&lock);
        thread->local = NULL;
        thread->next_free = free_threads;
        free_threads = thread;
        lock_give(&lock);
        return NULL;
    }
    return thread;
}

static void give(struct thread *thread)
{
    quarantine_flush(&thread->quarantine, thread->generation);
    records_flush(&thread->records);
    if (thread->unwind)
        unwind_thread_reset(thread->unwind);
    if (thread->python)
        pyframes_thread_reset(thread->python);
    lock_take(&lock);
    thread->local = NULL;
    thread->next_free = free_threads;
    free_threads = thread;
    lock_give(&lock);
}

/* The generation, once events need not wait. From then on until thread_entered the thread is seen to be inside. */
static uint32_t entering_generation(struct thread_local_state *state)
{
    for (;;) {
        __atomic_add_fetch(&entering, 1, __ATOMIC_SEQ_CST);
        uint32_t generation = *thread_generation;
        if (likely(generation != THREAD_PAUSED))
            return generation;
        __atomic_sub_fetch(&entering, 1, __ATOMIC_SEQ_CST);
        state->busy = 0;
        pause_wait();
        state->busy = BUSY_NESTED;
    }
}

static void entered(void)
{
    __atomic_sub_fetch(&entering, 1, __ATOMIC_SEQ_CST);
}

/* pthread_setspecific may allocate (calloc): the guard is up, so that passes through. */
_cold_ struct thread *thread_enter_slow(void)
{
    struct thread_local_state *state = &thread_local_state;
    int saved = errno;

    state->busy = BUSY_NESTED;
    uint32_t generation = entering_generation(state);
    if (generation == 0)
        generation = start_forked_child();
    if (generation != THREAD_INACTIVE && state->generation != generation) {
        state->self = take(generation);
        state->generation = state->self && !(state->after & AFTER_ENDING) ? generation : GENERATION_NONE;
        if (state->self && !(state->after & AFTER_ENDING))
            pthread_setspecific(key, state->self);
    }
    entered();
    errno = saved;
    bool ready = generation != THREAD_INACTIVE && state->self;
    state->busy = ready ? BUSY_SHIM : 0;
    return ready ? state->self : NULL;
}

/* A thread whose destructors have run borrows a structure for each late event (the C library frees its buffers). */
static void return_self(struct thread_local_state *state)
{
    struct thread *thread = state->self;

    state->self = NULL;
    state->generation = GENERATION_NONE;
    if (thread)
        give(thread);
}

_cold_ void thread_leave_slow(void)
{
    struct thread_local_state *state = &thread_local_state;

    state->busy = BUSY_NESTED;
    if (state->after & AFTER_LOAD && loader_look_again())
        state->after &= (uint8_t)~AFTER_LOAD;
    if (state->after & AFTER_MARK) {
        state->after &= (uint8_t)~AFTER_MARK;
        marks_take_due();
    }
    if (state->after & AFTER_SNAPSHOT) {
        state->after &= (uint8_t)~AFTER_SNAPSHOT;
        snapshot_serve();
    }
    if (state->after & AFTER_ENDING)
        return_self(state);
    state->busy = 0;
}

_cold_ void thread_left_by_jump(void)
{
    struct thread_local_state *state = &thread_local_state;

    if (guard_active && state->self)
        quarantine_left(&state->self->quarantine);
    state->origin = NULL;
    state->judged = false;
    state->busy = 0;
}

static void end_thread(void *value)
{
    struct thread_local_state *state = &thread_local_state;
    struct thread *thread = state->self;

    if (!thread || thread != value)
        return;
    state->busy = BUSY_NESTED;
    state->after |= AFTER_ENDING;
    labels_end_thread();
    return_self(state);
    state->busy = 0;
}

static bool make_generation_word(void)
{
    long page = sysconf(_SC_PAGESIZE);
    uint32_t *word = arena_map((size_t)page);
    if (!word)
        return false;
    /* Where the kernel is too old for this, the handler of pthread_atfork alone notices forks (start.c). */
    madvise(word, (size_t)page, MADV_WIPEONFORK);
    *word = THREAD_INACTIVE;
    thread_generation = word;
    return true;
}

int thread_init(void)
{
    if (!make_generation_word())
        return -ENOMEM;
    return -pthread_key_create(&key, end_thread);
}

void thread_activate(uint32_t generation)
{
    block_process_max = (uint16_t)MIN(generation, UINT16_MAX);
    current = *thread_generation = generation;
}

void thread_deactivate(void)
{
    current = *thread_generation = THREAD_INACTIVE;
}

/* In a forked child the word is 0 until its own ledger is made. */
uint32_t thread_current_generation(void)
{
    uint32_t generation = *thread_generation;
    return likely(generation != THREAD_PAUSED) ? generation : current;
}

/* A structure with `local` belongs to a living thread: it is given back, with the lock, before the thread's memory is. */
bool thread_others_are_out(void)
{
    bool out = __atomic_load_n(&entering, __ATOMIC_SEQ_CST) == 0;

    lock_take(&lock);
    for (struct thread *thread = all_threads; thread && out; thread = thread->next_all)
        out = !thread->local || thread->local == &thread_local_state ||
              !__atomic_load_n(&thread->local->busy, __ATOMIC_ACQUIRE);
    lock_give(&lock);
    return out;
}

static bool forked_inside;
static struct thread *interrupted; /* whose event it was, NULL = it had none yet */

void thread_fork_inside(void)
{
    struct thread_local_state *state = &thread_local_state;

    if (*thread_generation == THREAD_INACTIVE)
        return;
    state->busy = BUSY_NESTED;
    forked_inside = true;
    interrupted = state->self;
    if (thread_enter_slow())
        thread_leave();
    forked_inside = false;
    interrupted = NULL;
    state->origin = NULL;
    state->judged = false;
    state->busy = 0;
}

bool thread_forked_inside(void)
{
    return forked_inside;
}

/* All structures are free but that of the caller, which begins anew with the new ledger. */
void thread_fork_child(void)
{
    struct thread_local_state *state = &thread_local_state;

    free_threads = NULL;
    entering = 1; /* the caller, in thread_enter_slow */
    for (struct thread *thread = all_threads; thread; thread = thread->next_all) {
        thread->generation = 0;
        thread->local = NULL;
        thread->records.count = 0;
        if (thread->unwind)
            unwind_thread_reset(thread->unwind);
        if (thread->python)
            pyframes_thread_reset(thread->python);
        if (thread == interrupted)
            continue;
        thread->next_free = free_threads;
        free_threads = thread;
    }
    state->self = NULL;
    state->generation = GENERATION_NONE;
    lock_give(&lock);
}
