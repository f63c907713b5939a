/* SPDX-License-Identifier: MIT
 *
 * The functions of memshim/pool.h. */
#include "memshim/pool.h"

#include "compiler.h"
#include "pool_descriptor.h"
#include "pool_end.h"
#include "pool_heap.h"
#include "pool_lock.h"
#include "pool_use.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

static void _printf_format_(4, 5)
    complain(enum memshim_object_fault fault, uint64_t address, uint64_t size, const char *format, ...)
{
    char detail[512];
    va_list arguments;

    if (!&memshim_object_fault)
        return;
    va_start(arguments, format);
    vsnprintf(detail, sizeof(detail), format, arguments);
    va_end(arguments);
    memshim_object_fault(&(struct memshim_fault){.size_of = sizeof(struct memshim_fault),
                                                 .domain = MEMSHIM_OBJECT_POOL,
                                                 .fault = fault,
                                                 .address = address & 0xffffffffffffu,
                                                 .size = size,
                                                 .detail = detail},
                         NULL);
}

/* The mapping of a handle, held and locked. */
static int open_pool(memshim_pool *pool, const char *function, struct pool_mapping **ret)
{
    struct pool_mapping *mapping = pool ? pool_use_mapping(pool) : NULL;

    if (!mapping) {
        complain(pool ? MEMSHIM_FAULT_HANDLE : MEMSHIM_FAULT_ARGUMENT, (uintptr_t)pool, 0, "%s is called for %s",
                 function, pool ? "a pool that is not attached" : "no pool");
        return pool ? -EBADF : -EINVAL;
    }
    int result = pool_lock(&mapping->view);
    if (result)
        pool_mapping_release(mapping);
    else
        *ret = mapping;
    return result;
}

static void close_pool(struct pool_mapping *mapping)
{
    pool_unlock(&mapping->view);
    pool_mapping_release(mapping);
}

/* ---- pools ---- */

_exported_ int memshim_pool_create(uint64_t size, const char *name, uint64_t uid, memshim_pool **ret)
{
    struct pool_name full;
    int result = ret ? pool_name_set(&full, name) : -EINVAL;

    if (!result && (size == 0 || size > MEMSHIM_POOL_SIZE_MAX))
        result = -EINVAL;
    if (!result) {
        full.size = size;
        full.uid = uid;
        result = pool_use_create(&full, ret);
    } else {
        complain(MEMSHIM_FAULT_ARGUMENT, 0, size, "a pool of %" PRIu64 " bytes with the name \"%.200s\" is asked for",
                 size, name ? name : "");
    }
    return result;
}

_exported_ int memshim_pool_attach(const void *serialized, size_t length, memshim_pool **ret)
{
    struct pool_name name;
    int result = serialized && ret ? pool_descriptor_read(serialized, length, &name) : -EINVAL;

    if (result) {
        complain(MEMSHIM_FAULT_ARGUMENT, 0, length, "a descriptor of %zu bytes describes no pool", length);
        return result;
    }
    return pool_use_attach(&name, ret);
}

_exported_ int memshim_pool_detach(memshim_pool *pool)
{
    int result = pool ? pool_use_end(pool) : -EINVAL;

    if (result)
        complain(MEMSHIM_FAULT_HANDLE, (uintptr_t)pool, 0, "a pool that is not attached is detached");
    return result;
}

_exported_ int memshim_pool_destroy(memshim_pool *pool)
{
    struct pool_mapping *mapping;
    int result = open_pool(pool, "memshim_pool_destroy", &mapping);

    if (result)
        return result;
    pool_end_destroy(mapping);
    pool_file_unlink(&mapping->view);
    __atomic_store_n(&mapping->view.header->state, POOL_DESTROYED, __ATOMIC_RELEASE);
    pool_wake(&mapping->view);
    close_pool(mapping);
    return pool_use_end(pool);
}

_exported_ int memshim_pool_serialize(memshim_pool *pool, uint8_t ret[MEMSHIM_POOL_SERIALIZED])
{
    struct pool_mapping *mapping;
    int result = ret ? open_pool(pool, "memshim_pool_serialize", &mapping) : -EINVAL;

    if (result)
        return result;
    pool_descriptor_write(&mapping->name, ret);
    close_pool(mapping);
    return 0;
}

_exported_ int memshim_pool_stats(memshim_pool *pool, struct memshim_pool_stats *ret)
{
    struct pool_mapping *mapping;
    int result = ret ? open_pool(pool, "memshim_pool_stats", &mapping) : -EINVAL;

    if (result)
        return result;
    const struct pool_header *header = mapping->view.header;
    *ret = (struct memshim_pool_stats){.size = mapping->view.heap_size,
                                       .used = header->used_bytes,
                                       .largest_free = pool_heap_largest(&mapping->view),
                                       .allocations = header->used_count,
                                       .recoveries = header->recoveries};
    for (uint32_t i = 0; i < POOL_ATTACHMENTS; i++)
        ret->attachments += header->attachments[i].used &&
                            pool_process_lives(header->attachments[i].pid, header->attachments[i].process_start);
    close_pool(mapping);
    return 0;
}

_exported_ int memshim_pool_check(memshim_pool *pool)
{
    struct pool_mapping *mapping;
    int result = open_pool(pool, "memshim_pool_check", &mapping);

    if (result)
        return result;
    result = pool_heap_is_sound(&mapping->view) ? 0 : -EUCLEAN;
    close_pool(mapping);
    return result;
}

/* ---- allocations ---- */

static struct memshim_allocation describe(const struct pool_view *view, uint32_t n)
{
    const struct pool_chunk *chunk = pool_chunk(view, n);
    return (struct memshim_allocation){
        .id = chunk->id, .serial = chunk->serial, .size = chunk->asked, .type = chunk->type, .place = n};
}

static int64_t clock_now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* What an allocation shall be. */
struct request {
    uint64_t size, id;
    uint32_t type;
    uint64_t trace;
    uint64_t process_start;
};

static uint64_t own_start(void)
{
    static _Thread_local struct {
        int32_t pid;
        uint64_t start;
    } known;

    if (known.pid != getpid()) {
        known.pid = getpid();
        known.start = pool_process_start(known.pid);
    }
    return known.start;
}

/* An id that is taken was chosen by a program: the next ones are tried. */
static uint64_t draw_id(struct pool_view *view, uint32_t type)
{
    while (pool_heap_find(view, type, view->header->next_id))
        view->header->next_id++;
    return view->header->next_id++;
}

static int allocate(struct pool_mapping *mapping, const struct request *request, struct memshim_allocation *ret)
{
    struct pool_view *view = &mapping->view;

    if (request->id && pool_heap_find(view, request->type, request->id))
        return -EEXIST;
    uint32_t stack = pool_use_stack(mapping, request->trace);
    uint32_t n = pool_heap_take(view, request->size);
    if (!n)
        return -ENOMEM;
    struct pool_chunk *chunk = pool_chunk(view, n);
    chunk->asked = request->size;
    chunk->type = request->type;
    chunk->id = request->id ? request->id : draw_id(view, request->type);
    chunk->serial = view->header->next_serial++;
    chunk->pid = getpid();
    chunk->process_start = request->process_start;
    chunk->made_at = clock_now(CLOCK_REALTIME);
    chunk->stack = stack;
    pool_heap_publish(view, n);
    *ret = describe(view, n);
    return 0;
}

static int make_request(const struct pool_mapping *mapping, uint64_t size, uint32_t type, uint64_t id,
                        struct request *request)
{
    if (size == 0 || type == 0) {
        complain(MEMSHIM_FAULT_ARGUMENT, 0, size, "%" PRIu64 " bytes of type %" PRIu32 " are asked for in pool \"%s\"",
                 size, type, mapping->name.name);
        return -EINVAL;
    }
    if (size > mapping->view.heap_size)
        return -E2BIG;
    request->size = size;
    request->id = id;
    request->type = type;
    request->trace = pool_use_trace();
    request->process_start = own_start();
    return 0;
}

/* One try, and when there is no room the wait for another one. Returns 1 to try again. */
static int try(struct pool_mapping *mapping, const struct request *request, int64_t deadline,
               struct memshim_allocation *ret)
{
    struct pool_view *view = &mapping->view;
    int result = pool_lock(view);

    if (result)
        return result;
    result = allocate(mapping, request, ret);
    int64_t left = deadline < 0 ? -1 : MAX(deadline - clock_now(CLOCK_MONOTONIC), (int64_t)0);
    if (result != -ENOMEM || left == 0) {
        pool_unlock(view);
        return result == -ENOMEM && deadline != 0 ? -ETIMEDOUT : result;
    }
    result = pool_wait(view, left);
    return result ? result : 1;
}

/* `deadline`: by the monotonic clock; 0: no waiting; below 0: none. */
static int allocate_until(memshim_pool *pool, struct request *request, int64_t deadline, struct memshim_allocation *ret)
{
    struct pool_mapping *mapping = pool ? pool_use_mapping(pool) : NULL;
    int result;

    if (!mapping || !ret) {
        complain(pool ? MEMSHIM_FAULT_HANDLE : MEMSHIM_FAULT_ARGUMENT, (uintptr_t)pool, 0,
                 "memory of a pool that is not attached is asked for");
        if (mapping)
            pool_mapping_release(mapping);
        return pool && ret ? -EBADF : -EINVAL;
    }
    result = make_request(mapping, request->size, request->type, request->id, request);
    while (!result || result == 1) {
        result = try(mapping, request, deadline, ret);
        if (!result)
            break;
    }
    pool_mapping_release(mapping);
    return result;
}

_exported_ int memshim_pool_alloc(memshim_pool *pool, uint64_t size, uint32_t type, uint64_t id,
                                  struct memshim_allocation *ret)
{
    struct request request;

    request.size = size;
    request.type = type;
    request.id = id;
    return allocate_until(pool, &request, 0, ret);
}

_exported_ int memshim_pool_alloc_blocking(memshim_pool *pool, uint64_t size, uint32_t type, uint64_t id,
                                           int64_t timeout, struct memshim_allocation *ret)
{
    struct request request;
    int64_t now = clock_now(CLOCK_MONOTONIC), deadline = -1;

    request.size = size;
    request.type = type;
    request.id = id;
    if (timeout >= 0 && __builtin_add_overflow(now, timeout, &deadline))
        deadline = INT64_MAX;
    return allocate_until(pool, &request, deadline, ret);
}

uint32_t pool_freed(memshim_pool *pool)
{
    struct pool_mapping *mapping = pool_use_mapping(pool);
    uint32_t freed = mapping ? __atomic_load_n(&mapping->view.header->freed, __ATOMIC_ACQUIRE) : 0;

    if (mapping)
        pool_mapping_release(mapping);
    return freed;
}

int pool_wait_freed(memshim_pool *pool, uint32_t seen, int64_t left)
{
    struct pool_mapping *mapping = pool_use_mapping(pool);

    if (!mapping)
        return -EBADF;
    int result = pool_wait_word(&mapping->view, seen, left);
    pool_mapping_release(mapping);
    return result;
}

/* The chunk of an allocation, or 0. */
static uint32_t chunk_of(const struct pool_view *view, const struct memshim_allocation *allocation)
{
    const struct pool_chunk *chunk = pool_chunk(view, allocation->place);
    bool is_it = allocation->place && allocation->place < pool_chunk_limit(view) && chunk->state == CHUNK_USED &&
                 chunk->serial == allocation->serial && chunk->id == allocation->id && chunk->type == allocation->type;

    return is_it ? allocation->place : 0;
}

_exported_ int memshim_pool_free(memshim_pool *pool, const struct memshim_allocation *allocation)
{
    struct pool_mapping *mapping;
    int result = allocation ? open_pool(pool, "memshim_pool_free", &mapping) : -EINVAL;

    if (result)
        return result;
    uint32_t n = chunk_of(&mapping->view, allocation);
    bool was_one = allocation->serial && allocation->serial < mapping->view.header->next_serial;
    if (n) {
        pool_heap_free(&mapping->view, n);
        pool_wake(&mapping->view);
    } else {
        result = -ENOENT;
    }
    pool_unlock(&mapping->view);
    if (!n)
        complain(was_one ? MEMSHIM_FAULT_DOUBLE_FREE : MEMSHIM_FAULT_INVALID_FREE, allocation->id, allocation->size,
                 "allocation %" PRIu64 " of type %" PRIu32 " in pool \"%s\" is freed, and %s", allocation->id,
                 allocation->type, mapping->name.name, was_one ? "was freed before" : "there never was one");
    pool_mapping_release(mapping);
    return result;
}

_exported_ int memshim_pool_memory(memshim_pool *pool, const struct memshim_allocation *allocation, void **ret)
{
    struct pool_mapping *mapping;
    int result = allocation && ret ? open_pool(pool, "memshim_pool_memory", &mapping) : -EINVAL;

    if (result)
        return result;
    uint32_t n = chunk_of(&mapping->view, allocation);
    const struct pool_chunk *chunk = pool_chunk(&mapping->view, n);
    uint64_t offset = chunk->offset, size = allocation->size;
    /* whatever the manifest says, the address lies in the heap */
    if (n && size <= mapping->view.heap_size && offset <= mapping->view.heap_size - size)
        *ret = mapping->view.heap + offset;
    else
        result = -ENOENT;
    close_pool(mapping);
    return result;
}

_exported_ int memshim_pool_allocations(memshim_pool *pool, struct memshim_allocation *ret, size_t *count)
{
    struct pool_mapping *mapping;
    int result = count && (ret || !*count) ? open_pool(pool, "memshim_pool_allocations", &mapping) : -EINVAL;
    size_t found = 0, steps = 0;

    if (result)
        return result;
    const struct pool_view *view = &mapping->view;
    for (uint32_t n = pool_heap_first(view); n && steps++ < view->chunk_capacity; n = pool_chunk(view, n)->after) {
        if (pool_chunk(view, n)->state != CHUNK_USED)
            continue;
        if (found < *count)
            ret[found] = describe(view, n);
        found++;
    }
    close_pool(mapping);
    result = found > *count ? -ENOBUFS : 0;
    *count = found;
    return result;
}

_exported_ int memshim_pool_find(memshim_pool *pool, uint32_t type, uint64_t id, struct memshim_allocation *ret)
{
    struct pool_mapping *mapping;
    int result = ret ? open_pool(pool, "memshim_pool_find", &mapping) : -EINVAL;

    if (result)
        return result;
    uint32_t n = pool_heap_find(&mapping->view, type, id);
    if (n)
        *ret = describe(&mapping->view, n);
    close_pool(mapping);
    return n ? 0 : -ENOENT;
}

_exported_ int memshim_pool_exists(memshim_pool *pool, uint32_t type, uint64_t id)
{
    struct memshim_allocation allocation;
    int result = memshim_pool_find(pool, type, id, &allocation);

    return result == -ENOENT ? 0 : result ? result : 1;
}

_exported_ int memshim_allocation_serialize(memshim_pool *pool, const struct memshim_allocation *allocation,
                                            uint8_t ret[MEMSHIM_ALLOCATION_SERIALIZED])
{
    struct pool_mapping *mapping;
    int result = allocation && ret ? open_pool(pool, "memshim_allocation_serialize", &mapping) : -EINVAL;

    if (result)
        return result;
    if (chunk_of(&mapping->view, allocation))
        allocation_descriptor_write(&mapping->name, allocation, ret);
    else
        result = -ENOENT;
    close_pool(mapping);
    return result;
}

_exported_ int memshim_allocation_attach(const void *serialized, size_t length, memshim_pool **ret_pool,
                                         struct memshim_allocation *ret)
{
    struct memshim_allocation wanted, found;
    struct pool_name name;
    int result =
        serialized && ret_pool && ret ? allocation_descriptor_read(serialized, length, &name, &wanted) : -EINVAL;

    if (result) {
        complain(MEMSHIM_FAULT_ARGUMENT, 0, length, "a descriptor of %zu bytes describes no allocation", length);
        return result;
    }
    result = pool_use_attach(&name, ret_pool);
    if (result)
        return result;
    result = memshim_pool_find(*ret_pool, wanted.type, wanted.id, &found);
    if (!result && (found.serial != wanted.serial || found.size != wanted.size || found.place != wanted.place))
        result = -ENOENT;
    if (result)
        pool_use_end(*ret_pool);
    else
        *ret = found;
    return result;
}
