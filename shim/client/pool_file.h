/* SPDX-License-Identifier: MIT
 *
 * The shared memory of a pool: making, mapping, checking, removing it, and giving memory to the parts that grow. Errors are
 * negative errno. */
#ifndef CLIENT_POOL_FILE_H
#define CLIENT_POOL_FILE_H

#include "pool_format.h"

#include <stdbool.h>

/* What a descriptor says about a pool. */
struct pool_name {
    uint64_t instance, uid, size;
    char name[POOL_NAME_MAX + 8]; /* without slash, terminated */
};

/* Takes over a name as programs write it. -EINVAL. */
int pool_name_set(struct pool_name *name, const char *text);

/* Makes the pool with name->size bytes of heap, and draws name->instance. */
int pool_file_create(struct pool_name *name, struct pool_view *ret);

/* Maps the pool of that name, if it is the one meant (-ESTALE), whole (-EINVAL) and not destroyed (-EIDRM). */
int pool_file_open(const struct pool_name *name, struct pool_view *ret);

/* Maps an open file for reading only, whatever pool it is. */
int pool_file_read(int fd, struct pool_view *ret);

void pool_file_close(struct pool_view *view);

/* Removes the name, if it still is that of this pool. */
void pool_file_unlink(const struct pool_view *view);

/* Gives memory to the file from `offset` on. */
int pool_file_commit(const struct pool_view *view, uint64_t offset, uint64_t size);

/* Start time of a process in clock ticks (field 22 of /proc/PID/stat), 0 when there is none. */
uint64_t pool_process_start(int32_t pid);
bool pool_process_lives(int32_t pid, uint64_t start);

#endif
