/* SPDX-License-Identifier: MIT
 *
 * Stacks: what lies below the stack pointer of a thread is no root, nor is the stack that the C library keeps of a thread
 * that has ended. Where a stack pointer is not known the whole stack counts.
 *
 * Where a stack begins: several may lie in one mapping, together with other memory, because newer C libraries and kernels
 * have no mapping for the guard below a stack. So the C library's descriptors of its threads are asked. They have the address
 * and the size of the stack, and hang in lists: of the stacks in use, of those that the program has given, and of those that are
 * kept for later. Of what they do not know (stacks of coroutines) the guard below says where they begin. */
#include "scan.h"
#include "scan_state.h"

#include <pthread.h>
#include <string.h>

#define RED_ZONE 128u
#define TCB_SEARCH 16384u /* bytes at the top of a stack where the C library's descriptor of the thread may begin */
#define TCB_ALIGN 64u
#define TCB_SIZE 2048u         /* as far as it is looked at */
#define TCB_SELF 16u           /* the descriptor's address, twice: at 0 and here */
#define TID_USUAL 0x2d0u       /* in the descriptor */
#define LINK_BEFORE 16u        /* the link of the lists stands this far before the thread's id */
#define HEADS_NEAR 128u        /* bytes around the head of one list where those of the others are */
#define STACK_MAX (1ull << 36) /* bytes: no address, as other words of a descriptor are */
#define STACKS_MAX (1u << 20)

struct stack {
    uintptr_t start;
    uintptr_t descriptor; /* at its top; below it lies the thread-local storage */
    bool ended;
};

struct link {
    uint64_t next, previous;
};

struct stacks {
    struct scan *scan;
    struct scan_array list; /* struct stack */
    size_t tid;             /* offset in descriptors, 0 = not known */
};

/* ---- descriptors ---- */

/* Where the descriptor keeps the thread's id: the calling thread's own shows it. 0 = not found. */
static size_t tid_offset(const struct scan *scan)
{
    uint32_t words[TCB_SIZE / 4], own = (uint32_t)scan->threads->caller;

    if (!scan_copy(&scan->reader, words, (uintptr_t)pthread_self(), sizeof(words)))
        return 0;
    if (words[TID_USUAL / 4] == own)
        return TID_USUAL;
    for (size_t i = 64; i < ARRAY_SIZE(words); i++)
        if (words[i] == own)
            return i * 4;
    return 0;
}

static bool is_descriptor(const struct scan *scan, uintptr_t address)
{
    uint64_t words[TCB_SELF / 8 + 1];

    return address && address % TCB_ALIGN == 0 && scan_copy(&scan->reader, words, address, sizeof(words)) &&
           words[0] == address && words[TCB_SELF / 8] == address;
}

/* The address and the size of the whole, which the descriptor lies in. 0 = it has none (of the first thread). */
static uintptr_t stack_start(const struct scan *scan, uintptr_t descriptor)
{
    uint64_t words[TCB_SIZE / 8];

    if (!scan_copy(&scan->reader, words, descriptor, sizeof(words)))
        return 0;
    for (size_t i = TCB_ALIGN / 8; i + 1 < ARRAY_SIZE(words); i++) {
        uint64_t start = words[i], size = words[i + 1], above = descriptor - start;
        if (start % 8 == 0 && start < descriptor && size <= STACK_MAX && above < size && size - above <= TCB_SEARCH &&
            scan_mapping_find(&scan->mappings, start))
            return start;
    }
    return 0;
}

static void add_stack(struct stacks *stacks, uintptr_t start, uintptr_t descriptor)
{
    int32_t tid = 1; /* 0 once the thread has ended, -1 once it was joined */
    struct stack *stack = start ? scan_array_push(&stacks->list, sizeof(*stack)) : NULL;

    if (!stack)
        return;
    if (!scan_copy(&stacks->scan->reader, &tid, descriptor + stacks->tid, sizeof(tid)))
        tid = 1;
    *stack = (struct stack){start, descriptor, tid <= 0};
}

/* ---- the C library's lists ---- */

static bool read_link(const struct stacks *stacks, uintptr_t address, struct link *ret_link)
{
    return address && address % 8 == 0 && scan_copy(&stacks->scan->reader, ret_link, address, sizeof(*ret_link));
}

/* Other threads may change the lists meanwhile: what is read is looked at before it is used. */
static void add_list(struct stacks *stacks, uintptr_t head)
{
    size_t link_offset = stacks->tid - LINK_BEFORE;
    struct link link, last;

    if (!read_link(stacks, head, &link) || link.next == head || !is_descriptor(stacks->scan, link.next - link_offset) ||
        !read_link(stacks, link.previous, &last) || last.next != head)
        return;
    for (size_t i = 0; link.next != head && i < STACKS_MAX; i++) {
        uintptr_t descriptor = link.next - link_offset;
        if (!is_descriptor(stacks->scan, descriptor) || !read_link(stacks, link.next, &link))
            return;
        add_stack(stacks, stack_start(stacks->scan, descriptor), descriptor);
    }
}

/* The head of the list of the calling thread, or 0. */
static uintptr_t find_head(const struct stacks *stacks)
{
    size_t link_offset = stacks->tid - LINK_BEFORE;
    struct link link = {(uintptr_t)pthread_self() + link_offset, 0};

    for (size_t i = 0; i < STACKS_MAX; i++) {
        if (!is_descriptor(stacks->scan, link.next - link_offset))
            return link.next;
        if (!read_link(stacks, link.next, &link))
            return 0;
    }
    return 0;
}

static void add_from_lists(struct stacks *stacks)
{
    uintptr_t head = find_head(stacks);

    for (uintptr_t at = head - HEADS_NEAR; head && at <= head + HEADS_NEAR; at += 8)
        add_list(stacks, at);
}

/* ---- guards ---- */

/* What begins above memory that nobody may touch. Memory with recorded blocks is a heap, even if a thread has its stack there. */
static bool has_guard(const struct scan *scan, const struct scan_mapping *mapping)
{
    const struct scan_mapping *guard = mapping - 1;

    return mapping > (const struct scan_mapping *)(const void *)scan->mappings.data && guard->end == mapping->start &&
           !(guard->flags & (MAPPING_READ | MAPPING_WRITE | MAPPING_EXEC));
}

static bool is_own_memory(const struct scan_mapping *mapping)
{
    return (mapping->flags & (MAPPING_READ | MAPPING_WRITE | MAPPING_FILE | MAPPING_SHARED | MAPPING_HEAP)) ==
           (MAPPING_READ | MAPPING_WRITE);
}

/* The descriptor at the top of a thread's stack, or 0. */
static uintptr_t find_descriptor(struct scan *scan, const struct scan_mapping *mapping)
{
    uintptr_t from = MAX(mapping->start, mapping->end - TCB_SEARCH);

    for (uintptr_t at = mapping->end - TCB_ALIGN; at >= from; at -= TCB_ALIGN) {
        const uint64_t *words = scan_read(&scan->reader, at, TCB_SELF + 8);
        if (words && words[0] == at && words[TCB_SELF / 8] == at)
            return at;
    }
    return 0;
}

/* Where the lists are not as they are known here. */
static void add_from_guards(struct stacks *stacks)
{
    const struct scan_mapping *mappings = (const void *)stacks->scan->mappings.data;
    size_t count = stacks->scan->mappings.used / sizeof(*mappings);

    for (size_t i = 1; i < count; i++) {
        uintptr_t descriptor = has_guard(stacks->scan, &mappings[i]) && is_own_memory(&mappings[i])
                                   ? find_descriptor(stacks->scan, &mappings[i])
                                   : 0;
        if (descriptor)
            add_stack(stacks, mappings[i].start, descriptor);
    }
}

/* ---- what is cut off ---- */

/* Memory with recorded blocks is a heap, even if a thread has its stack there. */
static void cut(struct scan *scan, uintptr_t start, uintptr_t end)
{
    uint32_t i = scan_index_lower(&scan->index, start);

    if (start >= end || (i < scan->index.count && scan->index.blocks[i].start < end))
        return;
    if (!scan_range_add(&scan->holes, start, end))
        scan->failed = true;
}

/* Where the stack begins that `pointer` is in, or 0. */
static uintptr_t bottom_of(const struct stacks *stacks, uintptr_t pointer)
{
    const struct stack *list = (const void *)stacks->list.data;
    const struct scan_mapping *mapping = scan_mapping_find(&stacks->scan->mappings, pointer);

    for (size_t i = 0; i < stacks->list.used / sizeof(*list); i++)
        if (pointer >= list[i].start && pointer < list[i].descriptor)
            return list[i].start;
    return mapping && is_own_memory(mapping) && (mapping->flags & MAPPING_STACK || has_guard(stacks->scan, mapping))
               ? mapping->start
               : 0;
}

static bool is_lowest(const uintptr_t *pointers, size_t count, uintptr_t bottom, uintptr_t pointer)
{
    for (size_t i = 0; i < count; i++)
        if (pointers[i] >= bottom && pointers[i] < pointer)
            return false;
    return true;
}

static void cut_unused(const struct stacks *stacks)
{
    const struct scan_array *others = &stacks->scan->threads->pointers;
    const uintptr_t *list = (const void *)others->data, own = stacks->scan->stack + RED_ZONE;
    size_t count = others->used / sizeof(*list);

    for (size_t i = 0; i <= count; i++) {
        uintptr_t pointer = i < count ? list[i] : own, bottom = bottom_of(stacks, pointer);
        if (bottom && is_lowest(list, count, bottom, pointer) && is_lowest(&own, 1, bottom, pointer))
            cut(stacks->scan, bottom, pointer - RED_ZONE);
    }
}

/* The descriptor itself stays: the stack is kept for the next thread, together with what hangs on it. */
static void cut_ended(const struct stacks *stacks)
{
    const struct stack *list = (const void *)stacks->list.data;

    for (size_t i = 0; i < stacks->list.used / sizeof(*list); i++)
        if (list[i].ended)
            cut(stacks->scan, list[i].start, list[i].descriptor);
}

void scan_stacks(struct scan *scan)
{
    struct stacks stacks = {.scan = scan, .tid = tid_offset(scan)};

    if (stacks.tid) {
        add_from_lists(&stacks);
        if (!stacks.list.used)
            add_from_guards(&stacks);
    }
    cut_unused(&stacks);
    cut_ended(&stacks);
    scan_array_done(&stacks.list);
}
