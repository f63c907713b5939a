/* SPDX-License-Identifier: MIT
 *
 * Memory behind handles: blocks that are reached by locking their handle, that may move when they are resized, and that carry a
 * label for whoever looks for leaks. Link with libmemshim-client. Everything works without memshim; under it (memshim run,
 * LD_PRELOAD) each misuse is an entry of the report, and handles that were never freed and locks that were never released are
 * reported with their label and stack.
 *
 * All functions may be called from any thread, not from signal handlers. Functions that fail return a negative errno:
 *   -EINVAL  an argument that is never valid: a size below the minimum, a null handle, a NULL pointer, unknown flags
 *   -ENOENT  the handle was freed
 *   -EBADF   the handle was never given out in this process
 *   -EBUSY   the handle is locked
 *   -EPERM   the handle is not locked
 *   -ENOMEM  there is no memory (or no handle left) */
#ifndef MEMSHIM_HANDLES_H
#define MEMSHIM_HANDLES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Opaque; 0 is no handle. A number is not given out twice in one process. */
typedef uint64_t memshim_handle;

enum memshim_handle_flags {
    MEMSHIM_HANDLE_NONE = 0,
    MEMSHIM_HANDLE_CLEAR = 1, /* the memory is zeroed, bytes that a resize adds too */
    MEMSHIM_HANDLE_QUIET = 2, /* misuse of this handle is an error code only, not an entry of the report */
};

struct memshim_handle_stats {
    uint64_t handle_count; /* handles not freed */
    uint64_t total_size;   /* their bytes, as asked for */
};

/* Makes a block of `size` bytes (1 or more; aligned for any type) and its handle. `what` (may be NULL) is copied and
 * names it in reports. -EINVAL, -ENOMEM. */
int memshim_handle_new(const char *what, int64_t size, unsigned flags, memshim_handle *ret);

/* Frees the block; the handle is not valid any more. -EINVAL, -ENOENT, -EBADF, -EBUSY (nothing is freed then). */
int memshim_handle_free(memshim_handle handle);

/* Gives the block's address, which is valid up to the matching unlock. Locks nest. -EINVAL, -ENOENT, -EBADF. */
int memshim_handle_lock(memshim_handle handle, void **ret);

/* Releases one lock. -EINVAL, -ENOENT, -EBADF, -EPERM. */
int memshim_handle_unlock(memshim_handle handle);

/* The size in bytes. -EINVAL, -ENOENT, -EBADF. */
int memshim_handle_size(memshim_handle handle, uint64_t *ret);

/* Makes the block `size` bytes (0 or more) long; what fits is kept, the block moves. `what` (may be NULL: the label stays)
 * is the new label. -EINVAL, -ENOENT, -EBADF, -EBUSY, -ENOMEM (the block is unchanged then). */
int memshim_handle_resize(const char *what, int64_t size, memshim_handle handle);

/* -EINVAL. */
int memshim_handle_stats(struct memshim_handle_stats *ret);

/* Turns the reporting of handles on (1, as it is at the start) or off (0). Handles that are made while it is off are not
 * reported; their errors are error codes all the same, and what is freed meanwhile is freed for the report, too. Returns what it
 * was. */
int memshim_handle_reporting(int on);

#ifdef __cplusplus
}
#endif

#endif
