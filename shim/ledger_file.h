/* SPDX-License-Identifier: MIT
 *
 * The file under the ledger: its name, place and descriptor. Used by ledger.c only, inside the guard of thread.h. */
#ifndef SHIM_LEDGER_FILE_H
#define SHIM_LEDGER_FILE_H

#include "ledger_format.h"

#include <stddef.h>
#include <sys/types.h>

struct ledger_file {
    int fd; /* 100 or above where the limits allow it, close-on-exec; -1 = none */
    dev_t device;
    ino_t inode;       /* what fd must be: the program may close it and get the number for a file of its own */
    uint32_t sequence; /* how many names of this report were taken */
    char report[LEDGER_PATH_MAX]; /* path of the report to be */
    char link[LEDGER_PATH_MAX];   /* path beside the report: the ledger, or a symbolic link to it */
    char path[LEDGER_PATH_MAX];   /* the ledger itself, == link when it lies there */
};

/* Reserves a name for the report `output` and creates an empty ledger file for it. Returns 0 or -errno. */
int ledger_file_create(struct ledger_file *file, const char *output);

/* file->fd if it still is the ledger, else a new one; -errno when it cannot be opened. */
int ledger_file_descriptor(struct ledger_file *file);

/* Goes on with the file that `fd` has open, which has no name. Returns 0 or -errno. */
int ledger_file_adopt(struct ledger_file *file, int fd);

/* Closes the descriptor (if it still is the ledger). */
void ledger_file_close(struct ledger_file *file);

/* Removes file and link, and closes. */
void ledger_file_remove(struct ledger_file *file);

/* Field 22 of /proc/self/stat, start time in clock ticks; 0 when /proc cannot tell. */
uint64_t ledger_file_process_start(void);

/* The n-th name of a ledger of this process in shared memory. */
void ledger_file_shared_name(char *path, size_t size, unsigned n);

/* ledger_text.c: forgets the interned texts (a new ledger begins) and frees the lock. */
void ledger_text_reset(void);

#endif
