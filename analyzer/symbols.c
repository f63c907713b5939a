/* SPDX-License-Identifier: MIT
 *
 * One image per path and build-id, opened when the first address in it is asked for, with the positions found so far. */
#include "symbols.h"

#include "chunks.h"
#include "debuginfo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Without memory an entry stays out of its table, which shows in hh.tbl. */
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(entry) ((entry)->hh.tbl = NULL)
#include <uthash.h>

struct cached {
    uint64_t address;
    size_t count;
    struct symbol *symbols;
    UT_hash_handle hh;
};

struct image {
    char *key; /* path, newline, build-id or nothing */
    bool stale;
    struct debuginfo *info; /* NULL: nothing to be found */
    struct cached *cache;
    UT_hash_handle hh;
};

struct symbols {
    struct image *images;
    struct chunks memory;
    bool failed;
    void *attached;
    void (*release)(void *attached);
};

struct symbols *symbols_new(bool debuginfod)
{
    if (!debuginfod)
        unsetenv("DEBUGINFOD_URLS");
    return calloc(1, sizeof(struct symbols));
}

static void image_free(struct image *image)
{
    HASH_CLEAR(hh, image->cache); /* the entries are in chunks */
    debuginfo_close(image->info);
    free(image->key);
    free(image);
}

void symbols_free(struct symbols *symbols)
{
    struct image *image, *next;

    if (!symbols)
        return;
    if (symbols->release)
        symbols->release(symbols->attached);
    HASH_ITER (hh, symbols->images, image, next) {
        HASH_DEL(symbols->images, image);
        image_free(image);
    }
    chunks_clear(&symbols->memory);
    free(symbols);
}

void **symbols_attachment(struct symbols *symbols, void (*release)(void *data))
{
    symbols->release = release;
    return &symbols->attached;
}

static bool is_digit(char letter, unsigned int value)
{
    char digit = "0123456789abcdef"[value];

    return letter == digit || (letter | 0x20) == digit;
}

/* Are these the bytes that `hex` spells? No build-id in either is a match as well: there is nothing to compare. */
static bool is_build_id(const char *hex, const uint8_t *bytes, size_t size)
{
    if (!hex)
        return size == 0;
    if (strlen(hex) != 2 * size)
        return false;
    for (size_t i = 0; i < size; i++)
        if (!is_digit(hex[2 * i], bytes[i] >> 4) || !is_digit(hex[2 * i + 1], bytes[i] & 15))
            return false;
    return true;
}

static void image_open(struct image *image, const struct module *module)
{
    const uint8_t *id = NULL;
    size_t size;

    if (module->path[0] != '/') /* linux-vdso.so.1, or a name that means another file from here */
        return;
    image->info = debuginfo_open(module->path);
    if (!image->info)
        return;
    size = debuginfo_build_id(image->info, &id);
    if (is_build_id(module->build_id, id, size))
        return;
    image->stale = true;
    debuginfo_close(image->info);
    image->info = NULL;
}

static struct image *image_new(struct symbols *symbols, const struct module *module, const char *key)
{
    struct image *image = calloc(1, sizeof(*image));

    if (!image)
        return NULL;
    image->key = strdup(key);
    if (image->key)
        HASH_ADD_KEYPTR(hh, symbols->images, image->key, strlen(image->key), image);
    if (!image->key || !image->hh.tbl) {
        free(image->key);
        free(image);
        return NULL;
    }
    image_open(image, module);
    return image;
}

static struct image *image_of(struct symbols *symbols, const struct module *module)
{
    struct image *image = NULL;
    char *key;

    if (!module->path)
        return NULL;
    if (asprintf(&key, "%s\n%s", module->path, module->build_id ? module->build_id : "") < 0)
        return NULL;
    HASH_FIND_STR(symbols->images, key, image);
    if (!image)
        image = image_new(symbols, module, key);
    free(key);
    return image;
}

/* Looks up what is not cached yet. NULL: no memory. */
static struct cached *find_and_cache(struct symbols *symbols, struct image *image, uint64_t address)
{
    struct symbol positions[DEBUGINFO_POSITIONS_MAX];
    struct cached *cached = chunks_take(&symbols->memory, sizeof(*cached));

    if (!cached)
        return NULL;
    memset(cached, 0, sizeof(*cached));
    cached->address = address;
    cached->count = debuginfo_find(image->info, address, &symbols->memory, positions);
    cached->symbols = chunks_take(&symbols->memory, cached->count * sizeof(struct symbol));
    if (!cached->symbols)
        return NULL;
    memcpy(cached->symbols, positions, cached->count * sizeof(struct symbol));
    HASH_ADD(hh, image->cache, address, sizeof(cached->address), cached);
    return cached;
}

bool symbols_failed(const struct symbols *symbols)
{
    return symbols->failed;
}

/* image_of, by whom also the lack of memory while a file is opened is noticed. */
static struct image *find_image(struct symbols *symbols, const struct module *module)
{
    struct image *image;

    errno = 0;
    image = image_of(symbols, module);
    symbols->failed = symbols->failed || errno == ENOMEM;
    return symbols->failed ? NULL : image;
}

size_t symbols_find(struct symbols *symbols, const struct module *module, uint64_t address, const struct symbol **ret)
{
    struct image *image = find_image(symbols, module);
    struct cached *cached;

    if (!image || !image->info)
        return 0;
    HASH_FIND(hh, image->cache, &address, sizeof(address), cached);
    if (!cached) {
        cached = find_and_cache(symbols, image, address);
        symbols->failed = !cached || debuginfo_is_refused(image->info);
    }
    if (symbols->failed || cached->count == 0)
        return 0;
    *ret = cached->symbols;
    return cached->count;
}

const char *symbols_variable(struct symbols *symbols, const struct module *module, uint64_t address,
                             uint64_t *ret_offset)
{
    struct image *image = find_image(symbols, module);
    const char *name;

    if (!image || !image->info)
        return NULL;
    name = debuginfo_variable(image->info, address, &symbols->memory, ret_offset);
    symbols->failed = debuginfo_is_refused(image->info);
    return name;
}

bool symbols_stale(struct symbols *symbols, const struct module *module)
{
    const struct image *image = image_of(symbols, module);

    return image && image->stale;
}
