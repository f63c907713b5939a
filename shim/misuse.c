/* SPDX-License-Identifier: MIT */
#include "misuse.h"

#include "errors.h"
#include "event.h"

static const char *const makers[DOMAIN_COUNT] = {
    [DOMAIN_MALLOC] = "malloc",       [DOMAIN_RAW] = "PyMem_RawMalloc", [DOMAIN_MEM] = "PyMem_Malloc",
    [DOMAIN_OBJ] = "PyObject_Malloc", [DOMAIN_NEW] = "operator new",    [DOMAIN_NEW_ARRAY] = "operator new[]",
    [DOMAIN_MMAP] = "mmap",
};

static const char *const releasers[DOMAIN_COUNT][2] = {
    [DOMAIN_MALLOC] = {"free", "realloc"},
    [DOMAIN_RAW] = {"PyMem_RawFree", "PyMem_RawRealloc"},
    [DOMAIN_MEM] = {"PyMem_Free", "PyMem_Realloc"},
    [DOMAIN_OBJ] = {"PyObject_Free", "PyObject_Realloc"},
    [DOMAIN_NEW] = {"operator delete", "operator delete"},
    [DOMAIN_NEW_ARRAY] = {"operator delete[]", "operator delete[]"},
    [DOMAIN_MMAP] = {"munmap", "mremap"},
};

const char *misuse_maker(enum block_domain domain)
{
    return makers[domain];
}

const char *misuse_releaser(const struct release *release)
{
    return releasers[release->by][release->is_realloc];
}

static bool is_python_family(enum block_domain domain)
{
    return domain == DOMAIN_RAW || event_is_python(domain);
}

/* While the interpreter reads its configuration it takes our hooks out of the RAW slot for a moment: its own calls then reach libc
 * without their name, at either end of a block's life. */
static bool is_interpreters(uint64_t ref, const struct release *release)
{
    enum block_domain made = block_domain_of(ref);

    if ((made == DOMAIN_RAW || release->by == DOMAIN_RAW) && pymem_api() && pymem_api()->hex < 0x03070000)
        return true; /* 3.6: its main() replaces the allocators in between */
    if (made == DOMAIN_MALLOC && release->by == DOMAIN_RAW)
        return block_allocator(ref) & EVENT_BY_INTERPRETER;
    return made == DOMAIN_RAW && release->by == DOMAIN_MALLOC && event_from_interpreter(release->caller);
}

static void note(struct thread *thread, const void *p, uint64_t ref, const struct release *release,
                 enum error_kind kind, const char *detail)
{
    bool recorded = block_record(ref) && event_is_own(ref);
    const struct ledger_record *record = recorded ? records_get(block_record(ref)) : NULL;

    errors_note(&(struct error_note){
        .kind = kind,
        .domain = block_domain_of(ref),
        .address = (uintptr_t)p,
        .size = record ? record->size : 0,
        .trace = event_trace(thread, release->frame),
        .alloc_trace = record ? record->trace : 0,
        .detail = detail,
    });
}

static void check_domain(struct thread *thread, const void *p, uint64_t ref, const struct release *release)
{
    enum block_domain made = block_domain_of(ref);
    bool python = is_python_family(made) || is_python_family(release->by);
    char detail[128];

    if (is_interpreters(ref, release))
        return;
    snprintf(detail, sizeof(detail), "a block of %s is released by %s", makers[made], misuse_releaser(release));
    note(thread, p, ref, release, python ? ERROR_DOMAIN_MISMATCH : ERROR_MISMATCHED_FREE, detail);
}

static void check_size(struct thread *thread, const void *p, uint64_t ref, const struct release *release)
{
    if (!block_record(ref) || !event_is_own(ref))
        return;
    uint64_t size = records_get(block_record(ref))->size;
    if (size == release->size)
        return;
    char detail[128];
    snprintf(detail, sizeof(detail), "a block of %llu bytes is released by %s as one of %zu", (unsigned long long)size,
             misuse_releaser(release), release->size);
    note(thread, p, ref, release, ERROR_MISMATCHED_FREE, detail);
}

void misuse_check(struct thread *thread, const void *p, uint64_t ref, const struct release *release)
{
    if (block_domain_of(ref) != release->by)
        check_domain(thread, p, ref, release);
    else if (release->size != SIZE_MAX)
        check_size(thread, p, ref, release);
}

_cold_ void misuse_check_alone(const void *p, uint64_t ref, const struct release *release)
{
    struct thread *thread = thread_enter();

    if (!thread)
        return;
    misuse_check(thread, p, ref, release);
    thread_leave();
}
