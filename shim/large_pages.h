/* SPDX-License-Identifier: MIT
 *
 * Memory that the kernel may put on large pages; of it, with guard=1, the interpreter's arenas: blocks that wait in the quarantine
 * lie far apart, and the processor would look up the page of each at a cost. */
#ifndef SHIM_LARGE_PAGES_H
#define SHIM_LARGE_PAGES_H

#include <stdbool.h>
#include <stddef.h>

#define LARGE_PAGE ((size_t)2 << 20)

/* `size` bytes of zeros (a multiple of the page size) at a multiple of LARGE_PAGE: what is mapped too much before and behind them goes
 * back. NULL: there is no memory. To be given back by munmap. Changes errno. */
void *large_pages_reserve(size_t size);

/* Whether arenas of so many bytes are to be had. */
bool large_pages_serve(size_t size);

/* `size` bytes of zeros, as mmap gives them, at a multiple of `size`; NULL: there is no memory. To be given back by munmap, each alone.
 * With a lock held. errno is kept. */
void *large_pages_map(size_t size);

#endif
