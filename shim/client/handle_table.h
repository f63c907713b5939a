/* SPDX-License-Identifier: MIT
 *
 * From handles to their blocks. A handle is a place in the table and the number of handles that had this place before, under a
 * number that each process draws: so one that was freed, and one that was never given out, are told apart. All calls under
 * the lock. */
#ifndef CLIENT_HANDLE_TABLE_H
#define CLIENT_HANDLE_TABLE_H

#include "client_hooks.h"
#include "handle_block.h"
#include "memshim/handles.h"

struct handle_slot {
    char *label;
    struct handle_block block;
    uint32_t turn; /* which handle of this place it is */
    uint32_t locks;
    unsigned flags;
    bool live;
    uint32_t place, next_free;
    struct memshim_object object;        /* in the report: of the last handle, while the place is free */
    struct memshim_object *lock_objects; /* one for each lock */
    uint32_t lock_room;
};

/* Handles are rare enough for one lock. It is taken by fork, too, so that a child finds it free. */
void handle_table_lock(void);
bool handle_table_try_lock(void); /* for the end of the process, which waits for nobody */
void handle_table_unlock(void);

/* A free place with its handle, or NULL. */
struct handle_slot *handle_table_take(memshim_handle *ret);
/* The place is free, its handle was freed. */
void handle_table_give(struct handle_slot *slot);

/* The place of a handle: *ret_error is 0, -EINVAL, -ENOENT (freed; NULL when the place has another handle by now) or -EBADF
 * (NULL). */
struct handle_slot *handle_table_find(memshim_handle handle, int *ret_error);

/* The last handle of a place. */
memshim_handle handle_table_handle(const struct handle_slot *slot);

/* The n-th place; NULL behind the last one. */
struct handle_slot *handle_table_at(uint32_t n);

#endif
