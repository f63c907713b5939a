/* SPDX-License-Identifier: MIT */
#include "pool_stack.h"

#include "compiler.h"
#include "pool_file.h"

#include <string.h>

static uint64_t hash_of(const char *text, size_t length)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3u;
    return hash;
}

static struct pool_stack *stack_at(const struct pool_view *view, uint32_t place)
{
    uint64_t offset = (uint64_t)place * 8, committed = view->header->stacks_committed;
    uint64_t limit = MIN(committed, view->stacks_size);

    if (place == 0 || offset + sizeof(struct pool_stack) > limit)
        return NULL;
    struct pool_stack *stack = (struct pool_stack *)(void *)(view->stacks + offset);
    return stack->length <= POOL_STACK_MAX && stack->length <= limit - offset - sizeof(*stack) ? stack : NULL;
}

const char *pool_stack_get(const struct pool_view *view, uint32_t place, size_t *ret_length)
{
    const struct pool_stack *stack = stack_at(view, place);

    *ret_length = stack ? stack->length : 0;
    return stack ? stack->text : NULL;
}

static bool make_room(struct pool_view *view, uint64_t end)
{
    struct pool_header *header = view->header;

    while (end > header->stacks_committed) {
        uint64_t step = MIN(POOL_STEP, view->stacks_size - MIN(header->stacks_committed, view->stacks_size));
        uint64_t start = (uint64_t)(view->stacks - (uint8_t *)header) + header->stacks_committed;
        if (!step || pool_file_commit(view, start, step))
            return false;
        header->stacks_committed += step;
    }
    return true;
}

static uint32_t append(struct pool_view *view, uint64_t hash, const char *text, size_t length, uint32_t next)
{
    struct pool_header *header = view->header;
    uint64_t start = header->stacks_used, end = (start + sizeof(struct pool_stack) + length + 7) / 8 * 8;

    if (start % 8 || end > view->stacks_size || !make_room(view, end))
        return 0;
    struct pool_stack *stack = (struct pool_stack *)(void *)(view->stacks + start);
    *stack = (struct pool_stack){.hash = hash, .next = next, .length = (uint32_t)length};
    memcpy(stack->text, text, length);
    header->stacks_used = end;
    return (uint32_t)(start / 8);
}

uint32_t pool_stack_put(struct pool_view *view, const char *text, size_t length)
{
    if (length == 0 || length > POOL_STACK_MAX)
        return 0;
    uint64_t hash = hash_of(text, length), steps = 0;
    uint32_t *bucket = &view->header->stack_buckets[hash >> 32 & (POOL_STACK_BUCKETS - 1)];

    for (uint32_t place = *bucket; place && steps++ < view->stacks_size / 16;) {
        const struct pool_stack *stack = stack_at(view, place);
        if (!stack)
            break;
        if (stack->hash == hash && stack->length == length && memcmp(stack->text, text, length) == 0)
            return place;
        place = stack->next;
    }
    uint32_t place = append(view, hash, text, length, *bucket);
    if (place)
        *bucket = place;
    else
        view->header->stacks_dropped++;
    return place;
}
