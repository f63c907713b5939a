/* SPDX-License-Identifier: MIT
 *
 * What the shim keeps for each thread, and the guard that every hook passes: a hook that begins while the same thread is in
 * the shim (the unwinder allocates, a signal handler allocates) passes through.
 *
 * The thread-local part is small, because static TLS comes out of every thread's stack; the rest is in the arena, reused by
 * later threads. */
#ifndef SHIM_THREAD_H
#define SHIM_THREAD_H

#include "compiler.h"
#include "ledger_format.h"
#include "quarantine.h"
#include "records.h"
#include "tally.h"

#include <stdbool.h>

struct thread {
    struct ledger_thread *counters;
    uint32_t id;         /* LEDGER_THREADS id */
    uint32_t generation; /* ledger generation for which `counters` and `tallies` are valid */
    uint64_t process;    /* the same as the part of a reference that it is (block.h) */
    struct unwind_thread *unwind;
    struct pyframes_thread *python;
    struct tally_table tallies;
    struct records_cache records;
    double carry_blocks, carry_bytes;   /* with sampling: what counters of whole numbers left over */
    uint32_t ticks;                     /* events, for what is looked at now and then */
    struct quarantine_cache quarantine; /* with guard=1 */
    uint64_t serial, serial_end;        /* numbers for new blocks' guard bytes */
    uint64_t pages_random;              /* with guard_pages=N (pages.h) */
    uint32_t pages_left;                /* recorded blocks up to the next one against a page */
    struct thread_local_state *local;   /* of the thread that has this structure, NULL = none; with the lists' lock */
    struct thread *next_free;
    struct thread *next_all;
};

/* A hook further out that wants the block recorded in its own name: PyMem_RawMalloc or operator new around malloc. */
struct origin {
    enum block_domain domain;
    void *const *frame; /* UNWIND_HERE of the hook */
    size_t size;        /* that it was asked for */
    size_t slack; /* bytes that it may ask for beyond that: debug hooks, rounding to an alignment. Anything else that is
                           asked for meanwhile (an exception that operator new throws) is not the block */
};

#define ORIGIN_SLACK 64u

enum thread_busy {
    BUSY_SHIM = 1,   /* the shim works: an event now comes from a signal handler or from what the shim calls */
    BUSY_NESTED = 2, /* a recorded request is served by other hooked functions: they must not record it again */
};

enum thread_after {
    AFTER_ENDING = 1,   /* the thread's destructors have run: `self` is borrowed for one event at a time */
    AFTER_SNAPSHOT = 4, /* one is wanted (snapshot.h) */
    AFTER_MARK = 8,     /* it is time for one (marks.h) */
    AFTER_LOAD = 2,     /* this thread has called dlopen in a way that left nobody to look at the result (loader.c) */
};

struct thread_local_state {
    struct thread *self;
    const struct origin *origin;
    uint32_t generation; /* == *thread_generation while `self` is valid */
    uint8_t busy;        /* enum thread_busy */
    int64_t sample_left; /* bytes to the next sample (sample.h) */
    uint64_t random;     /* state of its generator, 0 = not begun */
    void *raw_served;    /* what the RAW domain gave last inside another request (pymem_sampled.h) */
    uint8_t after;       /* enum thread_after: what thread_leave has to do */
    bool judged;         /* inside a realloc that is not refused (fault.h) */
};

extern _Thread_local struct thread_local_state thread_local_state _initial_exec_;

/* Number of the ledger in use: 0 = this process is a fork whose ledger is not made yet (the kernel wipes the word), or
 * THREAD_INACTIVE. */
#define THREAD_INACTIVE UINT32_MAX
#define THREAD_PAUSED (UINT32_MAX - 2) /* events wait (pause.h) */
extern _hidden_ volatile uint32_t *thread_generation;

/* Prepares for threads: the generation word and the key whose destructor ends them. Returns 0 or -errno. */
int thread_init(void);

/* Recording begins (again) with ledger number `generation`. */
void thread_activate(uint32_t generation);

/* No more recording in this process: hooks pass through, frees of recorded blocks still find their way. */
void thread_deactivate(void);

/* In a forked child: only the calling thread lives on. */
void thread_fork_child(void);

/* In the child of a fork inside an event, which was interrupted by a signal handler: recording begins anew for what the handler does.
 * If it returns, the event ends with what it has in its hands, and without effect. */
void thread_fork_inside(void);

/* Whether the child's ledger is being made there. */
bool thread_forked_inside(void);

/* The number of the ledger in use, also while events wait. */
uint32_t thread_current_generation(void);

/* True: no other thread is inside an event. */
bool thread_others_are_out(void);

/* The hook that had the guard up will not come back: takes it down; or leaves it up where the thread must not go on, which is said
 * in the report. */
void thread_left_by_jump(void);

/* Continues thread_enter with `busy` set. */
struct thread *thread_enter_slow(void);
void thread_leave_slow(void);

/* Raises the guard unless it is up. First that, then a look at the generation: whoever changes the generation, makes all
 * threads see that, and then finds a guard down, knows that the thread will see the new one (pause.h). */
static inline bool thread_raise(uint8_t busy)
{
    struct thread_local_state *state = &thread_local_state;

    if (unlikely(state->busy))
        return false;
    state->busy = busy;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    return true;
}

/* Opens the guard. Returns NULL when the event must pass through; otherwise thread_leave must follow. */
static inline struct thread *thread_enter(void)
{
    struct thread_local_state *state = &thread_local_state;

    if (unlikely(!thread_raise(BUSY_SHIM)))
        return NULL;
    if (unlikely(state->generation != *thread_generation))
        return thread_enter_slow();
    return state->self;
}

static inline void thread_leave(void)
{
    struct thread_local_state *state = &thread_local_state;

    state->busy = 0;
    if (unlikely(state->after))
        thread_leave_slow();
}

#endif
