/* SPDX-License-Identifier: MIT */
#include "place.h"

#include "block.h"
#include "guard.h"
#include "ledger.h"

#include <pthread.h>
#include <string.h>

extern void *__libc_stack_end; /* the loader's: where the main thread's stack begins */

uint32_t place_limit(enum ledger_kind kind)
{
    uint32_t segments = __atomic_load_n(&ledger_header->segments, __ATOMIC_ACQUIRE), count = 0;

    for (uint32_t i = 0; i < segments; i++)
        count += ledger_header->directory[i] == kind;
    return count * ledger_per_segment(kind);
}

const struct ledger_module *place_module(uintptr_t address)
{
    uint32_t limit = place_limit(LEDGER_MODULES);

    for (uint32_t id = 1; id < limit; id++) {
        const struct ledger_module *module = ledger_entry(LEDGER_MODULES, id);
        if (module->end && address >= module->start && address < module->end && module->last_epoch == UINT32_MAX)
            return module;
    }
    return NULL;
}

/* glibc puts a thread's descriptor at the upper end of its stack. */
bool place_on_stack(uintptr_t address)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0), main_end = (uintptr_t)__libc_stack_end;
    bool is_main = here < main_end && main_end - here < (uintptr_t)1 << 30;
    uintptr_t end = is_main ? main_end : (uintptr_t)pthread_self();

    return address >= here && address < end && end - here < (uintptr_t)1 << 30;
}

uint32_t place_block(uintptr_t address, uint64_t *ret_owner)
{
    uint32_t limit = place_limit(LEDGER_RECORDS);

    for (uint32_t id = 1; id < limit; id++) {
        const struct ledger_record *record = ledger_entry(LEDGER_RECORDS, id);
        uint64_t owner = __atomic_load_n(&record->owner, __ATOMIC_ACQUIRE);
        uintptr_t start = ledger_owner_address(owner) - block_distance;
        if (owner && ledger_has_prefix(ledger_owner_domain(owner)) &&
            address - start < record->size + block_distance + block_trailer) {
            *ret_owner = owner;
            return id;
        }
    }
    return 0;
}

void place_text(uint32_t ref, char *buffer, size_t size)
{
    size_t used = 0;

    while (ref && used < size - 1) {
        const struct ledger_text *text = ledger_entry(LEDGER_TEXT, ref);
        size_t length = text->length_plus_1 ? text->length_plus_1 - 1 : 0;
        length = MIN(length, size - 1 - used);
        memcpy(buffer + used, text->bytes, length);
        used += length;
        ref = text->next;
    }
    buffer[used] = '\0';
}
