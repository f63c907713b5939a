/* SPDX-License-Identifier: MIT
 *
 * Both kinds begin with a word that names the kind and end with a check sum over all bytes before it. */
#include "pool_descriptor.h"

#include <errno.h>
#include <string.h>

#define POOL_KIND 0x314c4f4f504d534dULL       /* "MSMPOOL1" */
#define ALLOCATION_KIND 0x31434c4c414d534dULL /* "MSMALLC1" */
#define NAME_ROOM 256

struct pool_words {
    uint64_t kind, instance, uid, size;
    char name[NAME_ROOM];
    uint64_t reserved[3], sum;
};

struct allocation_words {
    uint64_t kind, instance, uid, size;
    char name[NAME_ROOM];
    uint64_t id, serial, asked;
    uint32_t type, place;
    uint64_t reserved[5], sum;
};

_Static_assert(sizeof(struct pool_words) == MEMSHIM_POOL_SERIALIZED, "as the header says");
_Static_assert(sizeof(struct allocation_words) == MEMSHIM_ALLOCATION_SERIALIZED, "as the header says");

static uint64_t sum_of(const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint64_t sum = 0x6d656d7368696d31u;

    for (size_t i = 0; i < size; i++)
        sum = (sum ^ at[i]) * 0x100000001b3u;
    return sum ^ sum >> 29;
}

static int read_name(const char text[NAME_ROOM], struct pool_name *ret)
{
    return memchr(text, '\0', POOL_NAME_MAX + 1) && *text != '/' ? pool_name_set(ret, text) : -EINVAL;
}

void pool_descriptor_write(const struct pool_name *name, uint8_t bytes[MEMSHIM_POOL_SERIALIZED])
{
    struct pool_words words = {.kind = POOL_KIND, .instance = name->instance, .uid = name->uid, .size = name->size};

    memcpy(words.name, name->name, sizeof(name->name));
    words.sum = sum_of(&words, sizeof(words) - sizeof(words.sum));
    memcpy(bytes, &words, sizeof(words));
}

int pool_descriptor_read(const void *bytes, size_t length, struct pool_name *ret)
{
    struct pool_words words;

    if (length != sizeof(words))
        return -EINVAL;
    memcpy(&words, bytes, sizeof(words));
    if (words.kind != POOL_KIND || words.sum != sum_of(&words, sizeof(words) - sizeof(words.sum)) ||
        read_name(words.name, ret))
        return -EINVAL;
    ret->instance = words.instance;
    ret->uid = words.uid;
    ret->size = words.size;
    return 0;
}

void allocation_descriptor_write(const struct pool_name *name, const struct memshim_allocation *allocation,
                                 uint8_t bytes[MEMSHIM_ALLOCATION_SERIALIZED])
{
    struct allocation_words words = {.kind = ALLOCATION_KIND,
                                     .instance = name->instance,
                                     .uid = name->uid,
                                     .size = name->size,
                                     .id = allocation->id,
                                     .serial = allocation->serial,
                                     .asked = allocation->size,
                                     .type = allocation->type,
                                     .place = allocation->place};

    memcpy(words.name, name->name, sizeof(name->name));
    words.sum = sum_of(&words, sizeof(words) - sizeof(words.sum));
    memcpy(bytes, &words, sizeof(words));
}

int allocation_descriptor_read(const void *bytes, size_t length, struct pool_name *ret_name,
                               struct memshim_allocation *ret)
{
    struct allocation_words words;

    if (length != sizeof(words))
        return -EINVAL;
    memcpy(&words, bytes, sizeof(words));
    if (words.kind != ALLOCATION_KIND || words.sum != sum_of(&words, sizeof(words) - sizeof(words.sum)) ||
        read_name(words.name, ret_name))
        return -EINVAL;
    ret_name->instance = words.instance;
    ret_name->uid = words.uid;
    ret_name->size = words.size;
    *ret = (struct memshim_allocation){
        .id = words.id, .serial = words.serial, .size = words.asked, .type = words.type, .place = words.place};
    return 0;
}
