/* SPDX-License-Identifier: MIT
 *
 * Two open-addressing tables: by address, read without a lock, and by contents (the refs of the texts), used under the lock
 * only. Entries of the first are removed by moving their successors up, so there are no tombstones; a reader that meets an
 * entry being moved finds its address changed, or does not find it at all, and tries again under the lock. A table that
 * fills up is copied into one of twice the size; old address tables stay mapped for their readers. */
#include "codes.h"

#include "arena.h"
#include "compiler.h"
#include "ledger.h"
#include "lock.h"
#include "pycompat.h"

#include <errno.h>
#include <string.h>

#define CAPACITY_MIN 2048u   /* slots, a power of two */
#define NAME_MAX_BYTES 4096u /* longer names are cut */
#define WATCHED_MAX 8u
#define TABLE_MAX_BYTES (4u << 20) /* longer line tables are left out: no lines */

struct slot {
    uint64_t key; /* address, or hash of the contents; 0 = empty; stored last */
    uint32_t id;
    uint32_t identity; /* by address: what else tells one code object from a later one there */
};

struct table {
    uint32_t capacity;
    uint32_t count;
    struct slot slots[];
};

/* A code type and the tp_dealloc that it had. */
struct watched {
    uintptr_t type;
    void (*dealloc)(void *object);
};

_hot_data_ uint32_t codes_generation = 1;

static struct table *addresses, *contents;
static struct watched watched[WATCHED_MAX];
static struct lock lock;
static _Thread_local bool locked _initial_exec_; /* by this thread: a signal handler must not wait for it */
static char name_buffer[NAME_MAX_BYTES];         /* under the lock: it would be too much for a small stack */

static inline uint32_t hash_key(uint64_t key)
{
    return (uint32_t)(key * 0x9e3779b97f4a7c15ULL >> 32);
}

static inline uint32_t identify(const struct pycompat_code *code)
{
    uint64_t hash = code->file ^ (code->name << 24 | code->name >> 40);
    hash = (hash ^ code->table) * 0xbf58476d1ce4e5b9ULL;
    return (uint32_t)(hash >> 32) ^ (uint32_t)code->first_line;
}

/* ---- tables ---- */

static size_t table_size(uint32_t capacity)
{
    return sizeof(struct table) + capacity * sizeof(struct slot);
}

static struct slot *find(struct table *table, uint64_t key)
{
    for (uint32_t i = hash_key(key);; i++) {
        struct slot *slot = &table->slots[i & (table->capacity - 1)];
        if (!slot->key || slot->key == key)
            return slot;
    }
}

static void put(struct table *table, struct slot *slot, struct slot value)
{
    table->count += !slot->key;
    __atomic_store_n(&slot->id, value.id, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->identity, value.identity, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->key, value.key, __ATOMIC_RELEASE);
}

/* The table with room for one more, or NULL. */
static struct table *make_room(struct table **place)
{
    struct table *old = *place;

    if (old && old->count < old->capacity / 2)
        return old;
    uint32_t capacity = old ? old->capacity * 2 : CAPACITY_MIN;
    struct table *new = arena_map(table_size(capacity));
    if (!new)
        return old && old->count < old->capacity - 1 ? old : NULL;
    new->capacity = capacity;
    for (uint32_t i = 0; old && i < old->capacity; i++)
        if (old->slots[i].key)
            put(new, find(new, old->slots[i].key), old->slots[i]);
    __atomic_store_n(place, new, __ATOMIC_RELEASE);
    return new;
}

/* Removes an entry: each successor whose own place is not beyond the hole moves into it. */
static void remove_slot(struct table *table, struct slot *slot)
{
    uint32_t mask = table->capacity - 1, hole = (uint32_t)(slot - table->slots);

    for (uint32_t i = hole + 1; table->slots[i & mask].key; i++) {
        struct slot *next = &table->slots[i & mask];
        uint32_t home = hash_key(next->key);
        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        struct slot *empty = &table->slots[hole & mask];
        __atomic_store_n(&empty->key, 0, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        __atomic_store_n(&empty->id, next->id, __ATOMIC_RELAXED);
        __atomic_store_n(&empty->identity, next->identity, __ATOMIC_RELAXED);
        __atomic_store_n(&empty->key, next->key, __ATOMIC_RELEASE);
        hole = i;
    }
    __atomic_store_n(&table->slots[hole & mask].key, 0, __ATOMIC_RELEASE);
    table->count--;
}

/* ---- reading code objects ---- */

static uint32_t text_of(const struct pycompat *compat, uintptr_t string)
{
    ssize_t length = pycompat_text(compat, string, name_buffer, sizeof(name_buffer));
    return length < 0 ? 0 : ledger_text(name_buffer, (size_t)length);
}

static uint32_t table_of(const struct pycompat *compat, uintptr_t bytes)
{
    size_t size = 0;
    const void *table = pycompat_bytes(compat, bytes, TABLE_MAX_BYTES, &size);
    return table ? ledger_text(table, size) : 0;
}

static struct ledger_code describe(const struct pycompat *compat, uintptr_t address, const struct pycompat_code *code)
{
    return (struct ledger_code){
        .address = address,
        .first_line = code->first_line,
        .file = text_of(compat, code->file),
        .name = text_of(compat, code->name),
        .qualname = code->qualname ? text_of(compat, code->qualname) : 0,
        .table = table_of(compat, code->table),
        .table_kind = compat->table_kind,
    };
}

static bool equal(const struct ledger_code *a, const struct ledger_code *b)
{
    return a->first_line == b->first_line && a->file == b->file && a->name == b->name && a->qualname == b->qualname &&
           a->table == b->table && a->table_kind == b->table_kind;
}

static uint64_t hash_contents(const struct ledger_code *code)
{
    uint64_t hash = (uint64_t)code->file << 32 | code->name;
    hash = (hash ^ ((uint64_t)code->qualname << 32 | code->table)) * 0xff51afd7ed558ccdULL;
    hash = (hash ^ hash >> 32 ^ (uint32_t)code->first_line) * 0xc4ceb9fe1a85ec53ULL;
    return (hash ^ hash >> 29) | 1;
}

static uint32_t store(const struct ledger_code *code)
{
    uint32_t id = ledger_take(LEDGER_CODES, 1);
    if (!id)
        return 0;
    struct ledger_code *entry = ledger_entry(LEDGER_CODES, id);
    *entry = *code;
    __atomic_store_n(&entry->used, 1, __ATOMIC_RELEASE);
    return id;
}

static uint32_t intern_contents(const struct ledger_code *code)
{
    struct table *table = make_room(&contents);
    uint64_t hash = hash_contents(code);

    if (!table)
        return 0;
    for (;; hash += 2) { /* another hash for other contents with this one */
        struct slot *slot = find(table, hash);
        if (!slot->key) {
            uint32_t id = store(code);
            if (id)
                put(table, slot, (struct slot){hash, id, 0});
            return id;
        }
        if (equal(ledger_entry(LEDGER_CODES, slot->id), code))
            return slot->id;
    }
}

static uint32_t enter(const struct pycompat *compat, uintptr_t address, const struct pycompat_code *code,
                      uint32_t identity)
{
    struct table *table = make_room(&addresses);

    if (!table)
        return 0;
    struct slot *slot = find(table, address);
    if (slot->key && slot->identity == identity)
        return slot->id;
    uint32_t id = CODES_INTERNAL;
    if (!pycompat_code_internal(compat, code)) {
        struct ledger_code entry = describe(compat, address, code);
        id = intern_contents(&entry);
    }
    if (!id)
        return 0;
    if (slot->key) { /* its free was missed */
        remove_slot(table, slot);
        slot = find(table, address);
    }
    put(table, slot, (struct slot){address, id, identity});
    return id;
}

static bool take_lock(void)
{
    if (locked)
        return false;
    locked = true;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    lock_take(&lock);
    return true;
}

static void give_lock(void)
{
    lock_give(&lock);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    locked = false;
}

static _cold_ uint32_t enter_locked(const struct pycompat *compat, uintptr_t address, const struct pycompat_code *code,
                                    uint32_t identity)
{
    if (!take_lock())
        return 0;
    uint32_t id = enter(compat, address, code, identity);
    give_lock();
    return id;
}

/* ---- interface ---- */

uint32_t codes_id(const struct pycompat *compat, uintptr_t address)
{
    const struct table *table = __atomic_load_n(&addresses, __ATOMIC_ACQUIRE);
    struct pycompat_code code;

    if (unlikely(!pycompat_code_read(compat, address, &code)))
        return 0;
    uint32_t identity = identify(&code);
    for (uint32_t i = hash_key(address); likely(table); i++) {
        const struct slot *slot = &table->slots[i & (table->capacity - 1)];
        uint64_t key = __atomic_load_n(&slot->key, __ATOMIC_ACQUIRE);
        if (!key)
            break;
        if (key != address)
            continue;
        uint32_t id = __atomic_load_n(&slot->id, __ATOMIC_RELAXED);
        uint32_t known = __atomic_load_n(&slot->identity, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (likely(__atomic_load_n(&slot->key, __ATOMIC_RELAXED) == address && known == identity))
            return id;
        break;
    }
    return enter_locked(compat, address, &code, identity);
}

static bool text_is(uint32_t ref, const char *text)
{
    return ref && ref == ledger_text(text, strlen(text));
}

static bool text_begins(uint32_t ref, const char *prefix)
{
    const struct ledger_text *text = ref ? ledger_entry(LEDGER_TEXT, ref) : NULL;
    size_t length = strlen(prefix);
    return text && text->length_plus_1 > length && memcmp(text->bytes, prefix, length) == 0;
}

/* The interpreter's own start runs frozen modules, whose code is called <module> too. */
bool codes_begins_program(uint32_t id)
{
    const struct ledger_code *code = ledger_entry(LEDGER_CODES, id);

    if (text_is(code->name, "<module>"))
        return !text_begins(code->file, "<frozen ");
    return text_is(code->name, "_run_module_as_main");
}

static bool is_known(uintptr_t address)
{
    const struct table *table = __atomic_load_n(&addresses, __ATOMIC_ACQUIRE);

    for (uint32_t i = hash_key(address); table; i++) {
        uint64_t key = __atomic_load_n(&table->slots[i & (table->capacity - 1)].key, __ATOMIC_RELAXED);
        if (!key || key == address)
            return key;
    }
    return false;
}

void codes_forget(uintptr_t address)
{
    if (!is_known(address) || !take_lock())
        return;
    struct slot *slot = find(addresses, address);
    if (slot->key) {
        remove_slot(addresses, slot);
        __atomic_fetch_add(&codes_generation, 1, __ATOMIC_RELAXED);
    }
    give_lock();
}

/* ---- watching ---- */

static struct watched *find_watched(uintptr_t type)
{
    for (unsigned i = 0; i < WATCHED_MAX; i++)
        if (!watched[i].type || watched[i].type == type)
            return &watched[i];
    return NULL;
}

static void forget_and_dealloc(void *code)
{
    codes_forget((uintptr_t)code);
    find_watched(pycompat_load((uintptr_t)code, PYCOMPAT_OB_TYPE))->dealloc(code);
}

int codes_watch(const struct pycompat *compat)
{
    void (**slot)(void *) = (void (**)(void *))(compat->code_type + PYCOMPAT_TP_DEALLOC);
    struct watched *entry = find_watched(compat->code_type);

    if (*slot == forget_and_dealloc)
        return 0;
    if (!entry)
        return -ENOSPC;
    entry->dealloc = *slot;
    entry->type = compat->code_type;
    __atomic_store_n(slot, forget_and_dealloc, __ATOMIC_RELEASE);
    return 0;
}

static void drop(struct table **place)
{
    if (*place)
        arena_unmap(*place, table_size((*place)->capacity));
    *place = NULL;
}

void codes_reset(void)
{
    drop(&addresses);
    drop(&contents);
    __atomic_fetch_add(&codes_generation, 1, __ATOMIC_RELAXED);
    locked = false;
    lock_give(&lock);
}
