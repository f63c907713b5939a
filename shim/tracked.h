/* SPDX-License-Identifier: MIT
 *
 * Tracked regions: memory that the program speaks of itself, because it does not come from a hooked function, or comes from
 * there in large pieces. Each is a record of DOMAIN_TRACKED, found by domain and address. A block that was recorded already, and
 * is the same memory, is given the name of the domain instead, so that nothing is counted twice. */
#ifndef SHIM_TRACKED_H
#define SHIM_TRACKED_H

#include <stddef.h>
#include <stdint.h>

/* Where the domain and its region are: the domain's place (domains.h) and the address. */
struct tracked_region {
    uint32_t domain;
    uintptr_t address;
};

struct thread;

/* Inside the guard of thread.h, whose thread this is: what memshim_track and memshim_untrack do. Both return 0 or -errno. */
int tracked_enter(struct thread *thread, struct tracked_region region, size_t size, void *const *frame);
int tracked_leave(struct thread *thread, struct tracked_region region);

/* PyTraceMalloc_Track and PyTraceMalloc_Untrack say so: as the functions of memshim/memshim.h. */
int tracked_track(unsigned domain, uintptr_t address, size_t size, void *const *frame);
int tracked_untrack(unsigned domain, uintptr_t address);

/* In a forked child: its ledger has no regions. */
void tracked_fork_child(void);

#endif
