/* SPDX-License-Identifier: MIT
 *
 * Reading the memory of the own process without trusting it: other threads may unmap or protect what is being read, files
 * may be shorter than their mappings. Copies by process_vm_readv, or, where that is forbidden, probes each page with a system
 * call. Also the list of mappings, and growing arrays. No locks but the arena's, no malloc. Single-threaded. */
#ifndef SHIM_SCAN_MEMORY_H
#define SHIM_SCAN_MEMORY_H

#include "compiler.h"

#include <stdbool.h>

/* ---- arrays ---- */

struct scan_array {
    uint8_t *data;
    size_t used, room; /* bytes */
};

/* Makes room for `size` more bytes. False: there is no memory. */
bool scan_array_grow(struct scan_array *array, size_t size);
void scan_array_done(struct scan_array *array);

/* Room for one more item at the end, or NULL. */
static inline void *scan_array_push(struct scan_array *array, size_t size)
{
    if (unlikely(array->room - array->used < size) && !scan_array_grow(array, size))
        return NULL;
    void *item = array->data + array->used;
    array->used += size;
    return item;
}

/* ---- contents ---- */

#define SCAN_PIECE (64u << 10) /* most that one scan_read can ask for */

struct scan_reader {
    uint8_t *buffer;
    uintptr_t start; /* what the buffer holds: [start, end) */
    uintptr_t end;
    bool forbidden;           /* process_vm_readv does not work here */
    int pagemap;              /* descriptor, -1 = none */
    uint64_t unreadable;      /* bytes */
    struct scan_array absent; /* struct scan_range, ordered: scan_absent.c */
};

int scan_reader_init(struct scan_reader *reader);
void scan_reader_done(struct scan_reader *reader);

const void *scan_read_slow(struct scan_reader *reader, uintptr_t address, size_t size);

/* A copy of [address, address + size), size <= SCAN_PIECE, valid until the next call; NULL if not all of it can be read.
 * Made for reading upwards: reads ahead. Address aligned as it is in memory up to 4096. */
static inline const void *scan_read(struct scan_reader *reader, uintptr_t address, size_t size)
{
    if (likely(address >= reader->start && address + size <= reader->end))
        return reader->buffer + (address - reader->start);
    return scan_read_slow(reader, address, size);
}

/* Copies `size` bytes from anywhere, without disturbing scan_read. */
bool scan_copy(const struct scan_reader *reader, void *to, uintptr_t address, size_t size);

/* The first piece of [*address, end) that has pages in memory: true and *address, *ret_end set; false: there is none. Where
 * the kernel does not tell, all of it counts. */
bool scan_resident(struct scan_reader *reader, uintptr_t *address, uintptr_t end, uintptr_t *ret_end);

/* ---- scan_absent.c ---- */

/* Finds the memory that must not be read where it is not there, before anything is read. False: no memory for that. */
bool scan_absent_find(struct scan_reader *reader);

/* How much of [address, address + size) can be read from its beginning without waiting for anybody. */
size_t scan_absent_cut(const struct scan_reader *reader, uintptr_t address, size_t size);

/* ---- mappings ---- */

enum scan_mapping_flags {
    MAPPING_READ = 1u << 0,
    MAPPING_WRITE = 1u << 1,
    MAPPING_EXEC = 1u << 2,
    MAPPING_SHARED = 1u << 3,
    MAPPING_FILE = 1u << 4,  /* of a file or device */
    MAPPING_HEAP = 1u << 5,  /* [heap] */
    MAPPING_ODD = 1u << 6,   /* [vvar], [vdso].. */
    MAPPING_STACK = 1u << 7, /* [stack], of the first thread */
};

struct scan_mapping {
    uintptr_t start, end;
    uint32_t flags;
};

/* Reads /proc/self/maps into an array of struct scan_mapping, ordered by address. Returns 0 or -errno. */
int scan_mappings_read(struct scan_array *mappings);

/* The mapping with `address`, or NULL. */
const struct scan_mapping *scan_mapping_find(const struct scan_array *mappings, uintptr_t address);

/* ---- ranges ---- */

struct scan_range {
    uintptr_t start, end;
};

bool scan_range_add(struct scan_array *ranges, uintptr_t start, uintptr_t end);

/* Orders the ranges, and joins those that touch. */
void scan_ranges_order(struct scan_array *ranges);

/* The first ordered range that ends above `address`, or NULL. */
const struct scan_range *scan_range_find(const struct scan_array *ranges, uintptr_t address);

#endif
