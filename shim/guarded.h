/* SPDX-License-Identifier: MIT
 *
 * Releasing and resizing with guard=1: blocks are checked, filled and kept back (guard.h, quarantine.h), bad pointers are
 * dropped, and all of it is noted (errors.h). Only what is recorded can be checked. errno is kept. */
#ifndef SHIM_GUARDED_H
#define SHIM_GUARDED_H

#include "capture.h"
#include "event.h"
#include "guard.h"
#include "misuse.h"
#include "quarantine.h"
#include "thread.h"

#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#else
#define __libc_single_threaded false
#endif

/* Frees the recorded block `p`. */
void guarded_free(void *p, uint64_t ref, const struct release *release);

/* Growing blocks of so many bytes are resized by their heap. */
#define GUARDED_MOVE_MAX (256u << 10)

/* Resizes it: to a new block, so that a use of the old one is found, except where that would copy much. `origin` NULL: for the C
 * library's family. `size` > 0. */
void *guarded_realloc(const struct python_origin *origin, void *p, uint64_t ref, size_t size,
                      const struct release *release);

/* `p` is not a recorded block. True: it is none at all, or one that was freed before. That has been noted, and `p` must not reach
 * the real function. */
bool guarded_is_invalid(const void *p, const struct release *release);

/* What realloc gives for such a pointer: of a block that was freed before a copy, otherwise NULL. */
void *guarded_realloc_invalid(const struct python_origin *origin, const void *p, size_t size, void *const *frame);

/* ---- what these files share: inside the guard of thread.h ---- */

/* Whether `p` is a freed block that is kept back. */
bool guarded_is_kept(const void *p);

/* Of threads that free one block at the same moment, one does. What is atomic costs as much as all the rest of a free. */
static _always_inline_ bool guarded_claim(void *p)
{
    uint64_t *word = &block_prefix(p)[1], is = *word;

    if (__libc_single_threaded)
        return true;
    return block_is_marked(block_prefix(p), p) &&
           __atomic_compare_exchange_n(word, &is, BLOCK_CLAIMED, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* Serial numbers in guard bytes are smaller. */
static inline uint64_t guarded_serial_limit(void)
{
    return __atomic_load_n(&event_serials, __ATOMIC_RELAXED);
}

/* Whether a block that leaves the quarantine is as it was when it came. */
static _always_inline_ bool guarded_is_untouched(const struct quarantine_entry *entry)
{
    const void *p = (const void *)quarantine_address(entry->place);
    const uint64_t *prefix = (const uint64_t *)((uintptr_t)p - GUARD_DISTANCE);

    return block_is_kept(prefix, p) && (!guard_fills || guard_is_filled(p, entry->size, GUARD_DEAD)) &&
           guard_intact(p, entry->size, quarantine_domain(entry->place), guarded_serial_limit());
}

/* Gives back a block that was taken out of the quarantine, and notes what is wrong with it. */
void guarded_let_go(struct thread *thread, const struct quarantine_entry *entry, void *const *frame);

/* Lets blocks go for which the lanes have no room any more (lanes.h). */
void guarded_shrink_lanes(struct thread *thread, struct lanes *lanes, void *const *frame);

/* Whether malloc is that of libc. Other allocators mark their blocks in other ways. */
bool guarded_real_is_libc(void);

/* Keeps back a block that was claimed and has no record any more, or gives it back at once. `holds_lock`: this thread may give
 * back Python's blocks. */
void guarded_keep_back(struct thread *thread, void *p, uint64_t ref, const struct quarantine_entry *entry,
                       bool holds_lock, void *const *frame);

/* What is known of a block. */
struct guarded_block {
    uintptr_t address;
    uint64_t size;
    enum block_domain domain;
    uint32_t alloc_trace, free_trace;
};

struct guarded_block guarded_live(const void *p, uint64_t size, enum block_domain domain,
                                  const struct ledger_record *record);
struct guarded_block guarded_kept(const struct quarantine_entry *entry);
struct guarded_block guarded_from_prefix(const void *p);

void guarded_note_double_free(struct thread *thread, const struct guarded_block *block, const struct release *release);

/* Says in words what was changed. */
void guarded_describe(char *text, size_t room, const struct guard_damage *damage, uint64_t size,
                      enum block_domain domain);

/* Notes the error, found at `trace`. */
void guarded_note_damage(const struct guard_damage *damage, const struct guarded_block *block, uint32_t trace);

/* The damage of a block whose prefix (block.h) was written over: that of the guard bytes behind it if they are not intact. */
struct guard_damage guarded_prefix_damage(const uint64_t *prefix, const struct guard_sides *sides,
                                          const struct guarded_block *block);

/* Notes it, with the sides as they are now. */
void guarded_note_prefix(struct thread *thread, const struct guarded_block *block, void *const *frame);

/* Checks all blocks, live and kept back. Returns the number of new errors. Without the guard of thread.h. */
unsigned guarded_check_all(void *const *frame);

#endif
