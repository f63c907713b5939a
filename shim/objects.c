/* SPDX-License-Identifier: MIT
 *
 * Objects of the client library (client_hooks.h) as records of the ledger. */
#include "objects.h"

#include "client_hooks.h"
#include "errors.h"
#include "event.h"
#include "place.h"

#define FUNCTIONS_MAX 8u

static const enum block_domain domains[] = {
    [MEMSHIM_OBJECT_HANDLE] = DOMAIN_HANDLE, [MEMSHIM_OBJECT_LOCK] = DOMAIN_HANDLE_LOCK,
    [MEMSHIM_OBJECT_POOL] = DOMAIN_POOL,     [MEMSHIM_OBJECT_ATTACHMENT] = DOMAIN_ATTACHMENT,
    [MEMSHIM_OBJECT_BUFFER] = DOMAIN_BUFFER,
};

static const enum error_kind faults[] = {
    [MEMSHIM_FAULT_ARGUMENT] = ERROR_INVALID_ARGUMENT,  [MEMSHIM_FAULT_HANDLE] = ERROR_INVALID_HANDLE,
    [MEMSHIM_FAULT_LOCKED] = ERROR_HANDLE_LOCKED,       [MEMSHIM_FAULT_UNBALANCED] = ERROR_UNBALANCED_UNLOCK,
    [MEMSHIM_FAULT_DOUBLE_FREE] = ERROR_DOUBLE_FREE,    [MEMSHIM_FAULT_INVALID_FREE] = ERROR_INVALID_FREE,
    [MEMSHIM_FAULT_OVERFLOW] = ERROR_OVERFLOW,          [MEMSHIM_FAULT_UNDERFLOW] = ERROR_UNDERFLOW,
    [MEMSHIM_FAULT_STALE_WRITE] = ERROR_USE_AFTER_FREE,
};

static void (*functions[FUNCTIONS_MAX])(void);
static uint32_t function_count;

/* ---- life ---- */

/* Addresses have 48 bits in a record's owner word. */
static void publish(uint32_t id, const struct thread *thread, uint32_t trace, enum block_domain domain,
                    const char *label, uint64_t address, size_t size)
{
    struct ledger_record *record = records_get(id);

    record->size = size;
    record->trace = trace;
    record->thread = thread->id;
    record->type = label ? ledger_text(label, strlen(label)) : 0;
    record->mark = event_interval;
    __atomic_store_n(&record->owner, ledger_owner(address, domain, event_flags()), __ATOMIC_RELEASE);
}

_exported_ void memshim_object_new(struct memshim_object *object, enum memshim_object_domain domain, const char *label,
                                   uint64_t address, size_t size)
{
    struct thread *thread = domain > 0 && domain < ARRAY_SIZE(domains) ? thread_enter() : NULL;

    *object = (struct memshim_object){0};
    if (!thread)
        return;
    int saved = errno;
    uint32_t trace = event_trace(thread, UNWIND_HERE), id = records_take(&thread->records);
    if (id) {
        publish(id, thread, trace, domains[domain], label, address, size);
        *object = (struct memshim_object){.generation = thread->generation, .record = id, .alloc_trace = trace};
    } else {
        thread->counters->dropped++;
    }
    errno = saved;
    thread_leave();
}

/* The record of an object of this process's ledger, or NULL. */
static struct ledger_record *record_of(const struct memshim_object *object, const struct thread *thread)
{
    if (!object->record || object->generation != thread->generation || object->record >= place_limit(LEDGER_RECORDS))
        return NULL;
    struct ledger_record *record = records_get(object->record);
    uint64_t owner = __atomic_load_n(&record->owner, __ATOMIC_ACQUIRE);
    return owner && !ledger_is_block(ledger_owner_domain(owner)) ? record : NULL;
}

_exported_ void memshim_object_resize(const struct memshim_object *object, size_t size)
{
    struct thread *thread = thread_enter();

    if (!thread)
        return;
    struct ledger_record *record = record_of(object, thread);
    if (record)
        record->size = size;
    thread_leave();
}

_exported_ void memshim_object_free(struct memshim_object *object)
{
    struct thread *thread = thread_enter();

    if (!thread)
        return;
    int saved = errno;
    if (record_of(object, thread)) {
        records_give(&thread->records, object->record);
        object->record = 0;
        object->free_trace = event_trace(thread, UNWIND_HERE);
    }
    errno = saved;
    thread_leave();
}

_exported_ void memshim_object_fault(const struct memshim_fault *fault, const struct memshim_object *object)
{
    bool known = fault->size_of == sizeof(*fault) && fault->fault > 0 && fault->fault < ARRAY_SIZE(faults) &&
                 fault->domain > 0 && fault->domain < ARRAY_SIZE(domains);
    struct thread *thread = known ? thread_enter() : NULL;

    if (!thread)
        return;
    bool own = object && object->generation == thread->generation;
    int saved = errno;
    errors_note(&(struct error_note){
        .kind = faults[fault->fault],
        .domain = domains[fault->domain],
        .address = fault->address,
        .size = fault->size,
        .trace = event_trace(thread, UNWIND_HERE),
        .alloc_trace = own ? object->alloc_trace : 0,
        .free_trace = own ? object->free_trace : 0,
        .detail = fault->detail,
    });
    errno = saved;
    thread_leave();
}

/* ---- the end ---- */

_exported_ void memshim_at_end(void (*function)(void))
{
    uint32_t place = __atomic_fetch_add(&function_count, 1, __ATOMIC_ACQ_REL);

    if (place < FUNCTIONS_MAX)
        __atomic_store_n(&functions[place], function, __ATOMIC_RELEASE);
}

void objects_tell_end(void)
{
    for (uint32_t i = 0; i < FUNCTIONS_MAX; i++) {
        void (*function)(void) = __atomic_load_n(&functions[i], __ATOMIC_ACQUIRE);
        if (function)
            function();
    }
}

_exported_ size_t memshim_output(char *buffer, size_t size)
{
    if (*thread_generation == THREAD_INACTIVE || !size)
        return 0;
    snprintf(buffer, size, "%s", ledger_header->output);
    return strlen(buffer);
}

/* An interpreter that is not finalized (os._exit) still uses its buffers. */
static bool is_in_use(enum block_domain domain)
{
    const struct pyapi *api = domain == DOMAIN_BUFFER ? pymem_api() : NULL;
    return api && api->is_initialized();
}

/* Nobody can release them any more, whatever memory says: no pointer leads to an object. */
void objects_end(void)
{
    uint32_t limit = place_limit(LEDGER_RECORDS);

    for (uint32_t id = 1; id < limit; id++) {
        struct ledger_record *record = records_get(id);
        uint64_t owner = __atomic_load_n(&record->owner, __ATOMIC_ACQUIRE);
        if (!owner || ledger_is_block(ledger_owner_domain(owner)) || is_in_use(ledger_owner_domain(owner)))
            continue;
        uint64_t lost = (owner & ~(uint64_t)RECORD_KIND_MASK) | (uint64_t)BLOCK_DEFINITE << RECORD_KIND_SHIFT;
        __atomic_compare_exchange_n(&record->owner, &owner, lost, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
    }
}
