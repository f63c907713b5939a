/* SPDX-License-Identifier: MIT
 *
 * Ledgers for tests, made in memory by hand: with rows the shim would write, and with any damage a test wants. */
#ifndef TESTS_FAKE_LEDGER_H
#define TESTS_FAKE_LEDGER_H

#include "ledger_format.h"

#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct fake_ledger {
    uint8_t *base;
    size_t size;
    uint32_t next[LEDGER_KIND_COUNT];      /* next id of each kind */
    uint32_t segments[LEDGER_KIND_COUNT];  /* of each kind */
    uint32_t last[LEDGER_KIND_COUNT][512]; /* their places in the file */
};

static inline struct ledger_header *fake_header(struct fake_ledger *fake)
{
    return (struct ledger_header *)(void *)fake->base;
}

static inline void fake_init(struct fake_ledger *fake)
{
    struct ledger_header *header;

    memset(fake, 0, sizeof(*fake));
    fake->size = LEDGER_SEGMENT_SIZE;
    fake->base = calloc(1, fake->size);
    assert(fake->base);
    header = fake_header(fake);
    header->magic = LEDGER_MAGIC;
    header->version = LEDGER_VERSION;
    header->header_size = sizeof(*header);
    header->segments = 1;
    header->directory[0] = LEDGER_HEADER;
    header->pid = 4242;
    header->ppid = 1;
    header->ended = END_EXIT;
    header->status = 3;
    header->started_at = 1767225600123456789; /* 2026-01-01T00:00:00.123456Z */
    header->ended_at = header->started_at + 1000000000;
    strcpy(header->program, "python3");
    strcpy(header->python, "3.11.2");
    header->argc = 2;
    header->argv_size = 13;
    memcpy(header->argv, "python3\0x.py", 13);
}

static inline void fake_done(struct fake_ledger *fake)
{
    free(fake->base);
    memset(fake, 0, sizeof(*fake));
}

static inline void fake_add_segment(struct fake_ledger *fake, enum ledger_kind kind)
{
    uint32_t place = (uint32_t)(fake->size / LEDGER_SEGMENT_SIZE);

    fake->base = realloc(fake->base, fake->size + LEDGER_SEGMENT_SIZE);
    assert(fake->base && fake->segments[kind] < 512);
    memset(fake->base + fake->size, 0, LEDGER_SEGMENT_SIZE);
    fake->size += LEDGER_SEGMENT_SIZE;
    fake->last[kind][fake->segments[kind]++] = place;
    fake_header(fake)->directory[place] = (uint8_t)kind;
    fake_header(fake)->segments = place + 1;
}

/* The place of an entry; it stays good until the next segment is added. */
static inline void *fake_entry(struct fake_ledger *fake, enum ledger_kind kind, uint32_t id)
{
    uint32_t per = ledger_per_segment(kind);

    return fake->base + (size_t)fake->last[kind][id / per] * LEDGER_SEGMENT_SIZE +
           (size_t)(id % per) * ledger_entry_size(kind);
}

/* Copies a row in and returns its id, from 1. `count` ids are taken. */
static inline uint32_t fake_take(struct fake_ledger *fake, enum ledger_kind kind, uint32_t count)
{
    uint32_t per = ledger_per_segment(kind);
    uint32_t id = fake->next[kind] ? fake->next[kind] : 1;

    if (id % per + count > per)
        id = (id / per + 1) * per;
    while (id / per >= fake->segments[kind])
        fake_add_segment(fake, kind);
    fake->next[kind] = id + count;
    return id;
}

static inline uint32_t fake_add(struct fake_ledger *fake, enum ledger_kind kind, const void *row)
{
    uint32_t id = fake_take(fake, kind, 1);

    memcpy(fake_entry(fake, kind, id), row, ledger_entry_size(kind));
    return id;
}

/* A text in pieces of at most `piece` bytes. */
static inline uint32_t fake_text_pieces(struct fake_ledger *fake, const void *bytes, size_t length, size_t piece)
{
    size_t here = length < piece ? length : piece;
    uint32_t next = length > here ? fake_text_pieces(fake, (const char *)bytes + here, length - here, piece) : 0;
    uint32_t ref = fake_take(fake, LEDGER_TEXT, (uint32_t)((sizeof(struct ledger_text) + here + 7) / 8));
    struct ledger_text *text = fake_entry(fake, LEDGER_TEXT, ref);

    text->length_plus_1 = (uint32_t)here + 1;
    text->next = next;
    memcpy(text->bytes, bytes, here);
    return ref;
}

static inline uint32_t fake_text(struct fake_ledger *fake, const char *text)
{
    return fake_text_pieces(fake, text, strlen(text), LEDGER_SEGMENT_SIZE / 2);
}

static inline uint32_t fake_node(struct fake_ledger *fake, uint32_t parent, uint64_t key, uint32_t meta)
{
    return fake_add(fake, LEDGER_NODES, &(struct ledger_node){key, parent, meta});
}

static inline uint32_t fake_trace(struct fake_ledger *fake, uint32_t native, uint32_t python, uint64_t allocations,
                                  uint64_t bytes)
{
    return fake_add(fake, LEDGER_TRACES,
                    &(struct ledger_trace){
                        .native = native, .python = python, .used = 1, .allocations = allocations, .bytes = bytes});
}

static inline uint32_t fake_block(struct fake_ledger *fake, uint64_t size, uint32_t trace, enum block_domain domain,
                                  uint32_t flags, uint32_t type)
{
    return fake_add(fake, LEDGER_RECORDS,
                    &(struct ledger_record){
                        .owner = ledger_owner(0x10000, domain, flags), .size = size, .trace = trace, .type = type});
}

/* The first `size` bytes as an unnamed file. */
static inline int fake_file(const struct fake_ledger *fake, size_t size)
{
    int fd = memfd_create("ledger", MFD_CLOEXEC);

    assert(fd >= 0);
    assert(write(fd, fake->base, size) == (ssize_t)size);
    return fd;
}

#endif
