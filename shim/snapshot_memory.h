/* SPDX-License-Identifier: MIT
 *
 * A heap for the copy of a process that writes a snapshot: the C library's may have been copied in the middle of a change. One
 * thread; what is given back is used again for blocks of the same size class. */
#ifndef SHIM_SNAPSHOT_MEMORY_H
#define SHIM_SNAPSHOT_MEMORY_H

#include <stddef.h>

void *snapshot_malloc(size_t size);
void snapshot_free(void *memory);

#endif
