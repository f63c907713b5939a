/* SPDX-License-Identifier: MIT
 *
 * Tracked regions: memory that the program speaks of itself, because it does not come from a hooked function, or comes from
 * there in large pieces. Each is a record of DOMAIN_TRACKED, found by domain and address. A block that was recorded already, and
 * is the same memory, is given the name of the domain instead, so that nothing is counted twice. */
#ifndef SHIM_TRACKED_H
#define SHIM_TRACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the domain and its region are: the domain's place (domains.h) and the address. */
struct tracked_region {
    uint32_t domain;
    uintptr_t address;
};

struct thread;

/* Inside the guard of thread.h, whose thread this is. Makes a region live. Returns 0 and its record in *ret_record (0 when it is a
 * block that now has the name of the domain); or -ENOMEM. */
int tracked_begin(struct thread *thread, struct tracked_region region, size_t size, void *const *frame,
                  uint32_t *ret_record);

/* Ends it; `record` is what tracked_begin gave. */
void tracked_end(struct thread *thread, struct tracked_region region, uint32_t record);

/* Whether the program can have memory at `address`, and so many bytes. */
bool tracked_is_region(uintptr_t address, size_t size);

/* Opens the guard for a call from the program. NULL: *ret_error says why not, as memshim_track does. */
struct thread *tracked_enter(int *ret_error);

/* PyTraceMalloc_Track and PyTraceMalloc_Untrack say so: as the functions of memshim/memshim.h. */
int tracked_track(unsigned domain, uintptr_t address, size_t size, void *const *frame);
int tracked_untrack(unsigned domain, uintptr_t address);

/* In a forked child: its ledger has no regions. */
void tracked_fork_child(void);

#endif
