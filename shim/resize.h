/* SPDX-License-Identifier: MIT
 *
 * Recorded blocks that change their size: a free and an allocation under the same record, by the allocator that made the block.
 * And with sampling, blocks that win or lose their record on the way. Without guard bytes (guarded.h has its own). */
#ifndef SHIM_RESIZE_H
#define SHIM_RESIZE_H

#include <stddef.h>
#include <stdint.h>

/* `p` recorded with `ref`, `size` > 0 and so small that no sum overflows. NULL: the old block is as it was. */
void *resize_recorded(void *p, uint64_t ref, size_t size, void *const *frame);

/* `p` not recorded, from the allocator that `ref` (without a record) names: the new block is recorded. With sampling only. */
void *resize_to_recorded(void *p, uint64_t ref, size_t size, void *const *frame);

#endif
