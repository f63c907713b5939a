/* SPDX-License-Identifier: MIT */
#include "unwind_memory.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096u

/* Largest gap (bytes) that is bridged page by page; beyond it an address counts as another stack. */
#define BRIDGE_MAX (8u << 20)

bool memory_probe(uintptr_t address)
{
    int saved = errno;

    if (!address)
        return false; /* would mean: no set */
    /* The kernel copies the set before it looks at the first argument, which is not a valid one: EFAULT, or EINVAL. */
    long r = syscall(SYS_rt_sigprocmask, ~0, address, NULL, sizeof(uint64_t));
    bool readable = !(r == -1 && errno == EFAULT);
    errno = saved;
    return readable;
}

static uintptr_t page_of(uintptr_t address)
{
    return address & ~(uintptr_t)(PAGE - 1);
}

/* Raises the top of the range page by page until it holds the word at `address`. */
static bool grow_up(struct memory_range *range, uintptr_t address)
{
    if (address < range->low || address - range->low > UINTPTR_MAX / 2 || address + sizeof(uint64_t) < address)
        return false;
    if (address > range->high && address - range->high > BRIDGE_MAX)
        return false;
    while (!memory_in(range, address)) {
        if (!memory_probe(range->high))
            return false;
        range->high += PAGE;
    }
    return true;
}

static bool grow_down(struct memory_range *range, uintptr_t address)
{
    if (!range->high || address >= range->low || range->low - address > BRIDGE_MAX)
        return false;
    while (range->low > address) {
        if (!memory_probe(range->low - PAGE))
            return false;
        range->low -= PAGE;
    }
    return true;
}

static bool range_new(struct memory_range *range, uintptr_t address)
{
    uintptr_t page = page_of(address);

    if (!memory_probe(page))
        return false;
    *range = (struct memory_range){page, page + PAGE};
    return memory_in(range, address) || grow_up(range, address);
}

_cold_ bool memory_readable_slow(struct memory *memory, uintptr_t address)
{
    struct memory_range range;

    if (memory_in(&memory->other, address))
        return true;
    if (memory->here.high && grow_up(&memory->here, address))
        return true;
    if (memory->other.high && (grow_up(&memory->other, address) || grow_down(&memory->other, address)))
        return true;
    if (!range_new(&range, address))
        return false;
    memory->other = range;
    return true;
}

_cold_ bool memory_enter_slow(struct memory *memory, uintptr_t sp)
{
    struct memory_range before = memory->here;

    if (sp - memory->other.low < memory->other.high - memory->other.low) {
        memory->here = memory->other;
        memory->other = before;
        return true;
    }
    if (grow_down(&memory->here, sp))
        return true;
    bool kept = !before.high;
    memory->other = before;
    if (!range_new(&memory->here, sp))
        memory->here = (struct memory_range){0, 0};
    return kept;
}
