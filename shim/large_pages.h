/* SPDX-License-Identifier: MIT
 *
 * Memory for the interpreter's arenas that the kernel may put on large pages, with guard=1: blocks that wait in the quarantine
 * lie far apart, and the processor would look up the page of each at a cost. */
#ifndef SHIM_LARGE_PAGES_H
#define SHIM_LARGE_PAGES_H

#include <stdbool.h>
#include <stddef.h>

/* Whether arenas of so many bytes are to be had. */
bool large_pages_serve(size_t size);

/* `size` bytes of zeros, as mmap gives them, at a multiple of `size`; NULL: there is no memory. To be given back by munmap, each alone.
 * With a lock held. errno is kept. */
void *large_pages_map(size_t size);

#endif
