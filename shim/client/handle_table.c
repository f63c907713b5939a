/* SPDX-License-Identifier: MIT */
#include "handle_table.h"

#include "compiler.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* Places come in chunks that never move, so that a slot may be used while the table grows. */
#define CHUNK 256u
#define CHUNKS_MAX 65536u
#define TURN_MAX 0x7fffffu
#define PLACE_BITS 24

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct handle_slot *chunks[CHUNKS_MAX];
static uint32_t used, first_free; /* first_free: place + 1 */
static uint64_t secret;

static void draw_secret(void)
{
    if (getrandom(&secret, sizeof(secret), GRND_NONBLOCK) != sizeof(secret))
        secret = (uint64_t)time(NULL) * 0x9e3779b97f4a7c15u ^ (uint64_t)(uintptr_t)&secret;
    secret &= 0xffffu;
}

__attribute__((constructor)) static void begin(void)
{
    draw_secret();
    pthread_atfork(handle_table_lock, handle_table_unlock, handle_table_unlock);
}

void handle_table_lock(void)
{
    pthread_mutex_lock(&mutex);
}

bool handle_table_try_lock(void)
{
    return pthread_mutex_trylock(&mutex) == 0;
}

void handle_table_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

/* Bits: 0-23 place, 24-46 turn, 47-62 secret. Below 2^63: it fits a signed number. The turn begins at 1, so it is never 0. */
static memshim_handle handle_of(uint32_t place, uint32_t turn)
{
    return secret << 47 | (uint64_t)turn << PLACE_BITS | place;
}

memshim_handle handle_table_handle(const struct handle_slot *slot)
{
    return handle_of(slot->place, slot->turn);
}

struct handle_slot *handle_table_at(uint32_t n)
{
    return n < used ? &chunks[n / CHUNK][n % CHUNK] : NULL;
}

static struct handle_slot *take_new(uint32_t *ret_place)
{
    uint32_t chunk = used / CHUNK;

    if (chunk == CHUNKS_MAX)
        return NULL;
    if (!chunks[chunk])
        chunks[chunk] = calloc(CHUNK, sizeof(struct handle_slot));
    if (!chunks[chunk])
        return NULL;
    *ret_place = used++;
    return &chunks[chunk][*ret_place % CHUNK];
}

struct handle_slot *handle_table_take(memshim_handle *ret)
{
    uint32_t place = first_free - 1;
    struct handle_slot *slot = first_free ? handle_table_at(place) : take_new(&place);

    if (!slot)
        return NULL;
    if (first_free)
        first_free = slot->next_free;
    free(slot->label);
    *slot = (struct handle_slot){.turn = slot->turn + 1, .place = place, .live = true};
    *ret = handle_of(place, slot->turn);
    return slot;
}

/* A place that is used up stays free: its handles would come again. */
void handle_table_give(struct handle_slot *slot)
{
    slot->live = false;
    if (slot->turn == TURN_MAX)
        return;
    slot->next_free = first_free;
    first_free = slot->place + 1;
}

struct handle_slot *handle_table_find(memshim_handle handle, int *ret_error)
{
    struct handle_slot *slot = handle_table_at((uint32_t)(handle & ((1u << PLACE_BITS) - 1)));
    uint32_t turn = (uint32_t)(handle >> PLACE_BITS) & TURN_MAX;

    if (handle == 0) {
        *ret_error = -EINVAL;
        return NULL;
    }
    if (handle >> 47 != secret || !slot || turn == 0 || turn > slot->turn) {
        *ret_error = -EBADF;
        return NULL;
    }
    *ret_error = slot->live && turn == slot->turn ? 0 : -ENOENT;
    return turn == slot->turn ? slot : NULL;
}
