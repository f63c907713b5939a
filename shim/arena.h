/* SPDX-License-Identifier: MIT
 *
 * Private memory of the shim, from its own mappings: the only allocator that code in the traced process may use.
 * Never calls malloc. Thread-safe; not to be called from inside itself (the guard of thread.h sees to that). */
#ifndef SHIM_ARENA_H
#define SHIM_ARENA_H

#include <stddef.h>
#include <stdint.h>

/* Zeroed memory aligned to 64 bytes, or NULL when the system gives none. Never given back. */
void *arena_alloc(size_t size);

/* A mapping of its own of `size` zeroed bytes, or NULL; given back with arena_unmap. */
void *arena_map(size_t size);
void arena_unmap(void *memory, size_t size);

/* The same for what is met at random places: the kernel may put it on large pages, which the processor finds sooner. */
void *arena_map_scattered(size_t size);

/* The mapping with another size, perhaps at another place; NULL (and the old one still there) when that cannot be had.
 * `memory` NULL: a new one. */
void *arena_remap(void *memory, size_t old_size, size_t size);

/* All the mappings there are, for those who look at the whole memory of the process. Writes up to `room` of them, in no
 * order, and returns their number, which may be larger. */
struct arena_range {
    uintptr_t start;
    size_t size;
};
size_t arena_ranges(struct arena_range *ranges, size_t room);

/* In a forked child: the lock that another thread may have held is free. */
void arena_fork_child(void);

#endif
