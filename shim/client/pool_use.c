/* SPDX-License-Identifier: MIT */
#include "pool_use.h"

#include "compiler.h"
#include "memshim/scope.h"
#include "pool_end.h"
#include "pool_heap.h"
#include "pool_lock.h"
#include "pool_stack.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct pool_mapping *mappings;
static struct memshim_pool *handles;

static void lock(void)
{
    pthread_mutex_lock(&mutex);
}

static void unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

__attribute__((constructor)) static void begin(void)
{
    pthread_atfork(lock, unlock, unlock);
}

uint64_t pool_use_trace(void)
{
    return &memshim_stack_trace ? memshim_stack_trace() : 0;
}

uint32_t pool_use_stack(struct pool_mapping *mapping, uint64_t trace)
{
    char text[POOL_STACK_MAX];
    uint32_t slot = (uint32_t)trace % POOL_KNOWN_STACKS;

    if (!trace || !&memshim_trace_text)
        return 0;
    if (mapping->stacks[slot].trace != trace) {
        size_t length = memshim_trace_text((uint32_t)trace, text, sizeof(text));
        uint32_t place = pool_stack_put(&mapping->view, text, length);
        if (!place)
            return 0;
        mapping->stacks[slot].trace = trace;
        mapping->stacks[slot].place = place;
    }
    return mapping->stacks[slot].place;
}

/* ---- mappings ---- */

static void release_locked(struct pool_mapping *mapping)
{
    struct pool_mapping **link = &mappings;

    if (--mapping->holders)
        return;
    while (*link && *link != mapping)
        link = &(*link)->next;
    if (*link)
        *link = mapping->next;
    pool_file_close(&mapping->view);
    free(mapping);
}

void pool_mapping_hold(struct pool_mapping *mapping)
{
    lock();
    mapping->holders++;
    unlock();
}

void pool_mapping_release(struct pool_mapping *mapping)
{
    lock();
    release_locked(mapping);
    unlock();
}

struct pool_mapping *pool_use_mapping(memshim_pool *pool)
{
    struct pool_mapping *mapping = NULL;

    lock();
    for (struct memshim_pool *handle = handles; handle && !mapping; handle = handle->next)
        if (handle == pool)
            mapping = handle->mapping;
    if (mapping)
        mapping->holders++;
    unlock();
    return mapping;
}

/* The mapping of that pool, held, with the lock taken. */
static int find_mapping(const struct pool_name *name, struct pool_mapping **ret)
{
    for (struct pool_mapping *mapping = mappings; mapping; mapping = mapping->next) {
        const struct pool_header *header = mapping->view.header;
        if (mapping->name.instance != name->instance || mapping->name.uid != name->uid ||
            mapping->name.size != name->size || strcmp(mapping->name.name, name->name) != 0)
            continue;
        if (__atomic_load_n(&header->state, __ATOMIC_ACQUIRE) != POOL_LIVE)
            return -EIDRM;
        mapping->holders++;
        *ret = mapping;
        return 0;
    }
    return -ENOENT;
}

static int add_mapping(const struct pool_name *name, const struct pool_view *view, struct pool_mapping **ret)
{
    struct pool_mapping *mapping = calloc(1, sizeof(*mapping));

    if (!mapping)
        return -ENOMEM;
    mapping->view = *view;
    mapping->name = *name;
    mapping->holders = 1;
    mapping->next = mappings;
    mappings = mapping;
    *ret = mapping;
    return 0;
}

/* ---- attachments ---- */

static uint32_t take_attachment(struct pool_header *header)
{
    for (uint32_t i = 0; i < POOL_ATTACHMENTS; i++)
        if (!header->attachments[i].used)
            return i;
    for (uint32_t i = 0; i < POOL_ATTACHMENTS; i++)
        if (!pool_process_lives(header->attachments[i].pid, header->attachments[i].process_start))
            return i;
    return POOL_ATTACHMENTS;
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Enters the process in the pool. More than there is room for are not listed, and work all the same. */
static int enter(struct memshim_pool *pool)
{
    struct pool_view *view = &pool->mapping->view;
    uint64_t trace = pool_use_trace();
    int result = pool_lock(view);

    if (result)
        return result;
    pool->attachment = take_attachment(view->header);
    if (pool->attachment < POOL_ATTACHMENTS) {
        struct pool_attachment *attachment = &view->header->attachments[pool->attachment];
        __atomic_store_n(&attachment->used, 0, __ATOMIC_RELEASE);
        attachment->pid = pool->pid;
        attachment->process_start = pool_process_start(pool->pid);
        attachment->made_at = now();
        attachment->stack = pool_use_stack(pool->mapping, trace);
        __atomic_store_n(&attachment->used, 1, __ATOMIC_RELEASE);
    }
    pool_unlock(view);
    return 0;
}

static void leave(const struct memshim_pool *pool)
{
    struct pool_header *header = pool->mapping->view.header;

    if (pool->attachment < POOL_ATTACHMENTS && pool->pid == getpid())
        __atomic_store_n(&header->attachments[pool->attachment].used, 0, __ATOMIC_RELEASE);
}

/* ---- handles ---- */

/* A handle for a mapping that is held, which it takes over. */
static int new_handle(struct pool_mapping *mapping, memshim_pool **ret)
{
    struct memshim_pool *pool = calloc(1, sizeof(*pool));

    if (!pool)
        return -ENOMEM;
    pool->mapping = mapping;
    pool->pid = getpid();
    int result = enter(pool);
    if (result) {
        free(pool);
        return result;
    }
    if (&memshim_object_new)
        memshim_object_new(&pool->object, MEMSHIM_OBJECT_ATTACHMENT, mapping->name.name,
                           mapping->name.instance & 0xffffffffffu, 0);
    pool_end_note(mapping);
    lock();
    pool->next = handles;
    handles = pool;
    unlock();
    *ret = pool;
    return 0;
}

static int finish(int result, struct pool_mapping *mapping, memshim_pool **ret)
{
    if (result)
        return result;
    result = new_handle(mapping, ret);
    if (result)
        pool_mapping_release(mapping);
    return result;
}

int pool_use_create(struct pool_name *name, memshim_pool **ret)
{
    struct pool_mapping *mapping = NULL;
    struct pool_view view;
    int result = pool_file_create(name, &view);

    if (result)
        return result;
    if (!pool_heap_grow(&view)) {
        pool_file_unlink(&view);
        pool_file_close(&view);
        return -ENOSPC;
    }
    pool_heap_rebuild(&view);
    view.instance = name->instance;
    view.header->state = POOL_LIVE;
    __atomic_store_n(&view.header->magic, POOL_MAGIC, __ATOMIC_RELEASE);
    lock();
    result = add_mapping(name, &view, &mapping);
    unlock();
    if (result) {
        pool_file_unlink(&view);
        pool_file_close(&view);
    }
    return finish(result, mapping, ret);
}

int pool_use_attach(const struct pool_name *name, memshim_pool **ret)
{
    struct pool_mapping *mapping = NULL;
    struct pool_view view;

    lock();
    int result = find_mapping(name, &mapping);
    if (result == -ENOENT) {
        result = pool_file_open(name, &view);
        if (!result) {
            result = add_mapping(name, &view, &mapping);
            if (result)
                pool_file_close(&view);
        }
    }
    unlock();
    return finish(result, mapping, ret);
}

int pool_use_end(memshim_pool *pool)
{
    struct memshim_pool **link = &handles;

    lock();
    while (*link && *link != pool)
        link = &(*link)->next;
    bool found = *link != NULL;
    if (found)
        *link = pool->next;
    unlock();
    if (!found)
        return -EBADF;
    leave(pool);
    if (&memshim_object_free)
        memshim_object_free(&pool->object);
    pool_mapping_release(pool->mapping);
    free(pool);
    return 0;
}
