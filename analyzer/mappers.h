/* SPDX-License-Identifier: MIT
 *
 * Which processes have ledgers mapped, whatever their ids are to themselves: in a namespace of process ids the id that a ledger names
 * is another process's here. */
#ifndef ANALYZER_MAPPERS_H
#define ANALYZER_MAPPERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct mappers {
    struct mapper {
        ino_t inode; /* of the ledger */
        char *name;  /* without folder */
        pid_t pid;
    } * items;
    size_t count;
    bool read;
};

/* The process that has the ledger of this name (without folder) and number mapped, of those that can be looked at; 0: none. All of /proc is read at the first call on a zeroed
 * struct, which is given to mappers_clear. */
pid_t mappers_find(struct mappers *mappers, const char *name, ino_t inode);

void mappers_clear(struct mappers *mappers);

#endif
