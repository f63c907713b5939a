/* SPDX-License-Identifier: MIT
 *
 * Before the walks (scan_scope.c): which blocks are state of the interpreter and its library, and memory of their containers. */
#include "scan_cached.h"

#include "pyapi.h"
#include "pycompat.h"

#include <stdlib.h>

#define TP_SUBCLASSES 360u
#define MODULE_DEF 24u
#define MODULE_STATE 32u
#define DEF_COPY 32u   /* m_base.m_copy */
#define STATE_DICT 24u /* in what the interpreter of 3.13 has of a static type of an extension module */
#define STATE_SUBCLASSES 32u
#define LINK_MAP_LEAST 512u  /* bytes */
#define LINK_MAP_DYNAMIC 16u /* l_ld: an address in the module's data */
#define INTERNED_LEAST 16384u
#define INTERNED_WORDS 128u
#define INTERNED_PAIRS 20u

struct parts {
    uint16_t mark;
    struct scan_array next; /* uint32_t: of these the parts are to be marked */
};

static void mark_part(const struct scan_cached *cached, uint32_t target, void *context)
{
    struct parts *parts = context;
    uint16_t *marks = &cached->marks[target];

    if (cached_is_object(cached_block(cached, target)))
        return;
    bool new = *marks &MARK_MADE && !(*marks & MARK_OUT);
    *marks |= (uint16_t)(parts->mark | (*marks & MARK_MADE ? MARK_OUT : 0));
    uint32_t *item =
        new ? scan_array_push(&parts->next, sizeof(*item)) : NULL; /* an ordered dict has a list of nodes */
    if (item)
        *item = target;
    else if (new)
        cached->scan->failed = true;
}

void scan_cached_mark_table(struct scan_cached *cached, uint32_t container, uint16_t mark)
{
    struct parts parts = {.mark = mark};

    cached_for_each_edge(cached, container, mark_part, &parts);
    while (parts.next.used) {
        parts.next.used -= sizeof(uint32_t);
        cached_for_each_edge(cached, *(const uint32_t *)(const void *)(parts.next.data + parts.next.used), mark_part,
                             &parts);
    }
    scan_array_done(&parts.next);
}

static void mark_named(const struct scan_cached *cached, uint32_t target, void *context)
{
    (void)context;
    if (cached_is_object(cached_block(cached, target)))
        cached->marks[target] |= MARK_NAMED;
}

static void mark_all_named(const struct scan_cached *cached, uint32_t target, void *context)
{
    if (!cached_is_object(cached_block(cached, target)))
        cached_for_each_edge(cached, target, mark_named, context);
}

static void mark_dict_of(const struct scan_cached *cached, uint32_t target, void *context)
{
    (void)context;
    if (!cached_is_object(cached_block(cached, target)) || !(cached_block(cached, target)->facts & FACT_DICT))
        return;
    cached->marks[target] |= (uint16_t)(MARK_NAMESPACE | (cached->marks[target] & MARK_MADE ? MARK_OUT : 0));
    scan_cached_mark_table((struct scan_cached *)(uintptr_t)cached, target, MARK_NAMESPACE);
}

void scan_cached_mark_names(struct scan_cached *cached, uint32_t object)
{
    cached->marks[object] |= MARK_NAMESPACE;
    scan_cached_mark_table(cached, object, MARK_NAMESPACE);
    cached_for_each_edge(cached, object, mark_all_named, NULL);
    if (!(cached_block(cached, object)->facts & FACT_DICT))
        cached_for_each_edge(cached, object, mark_dict_of, NULL);
}

/* ---- the state of the interpreter ---- */

/* Those that modules of the interpreter's library are made with. What they prepare when they are first used stays. */
static bool is_c_library(const struct ledger_module *module)
{
    static const char *const names[] = {
        "libcrypto.", "libssl.",    "libsqlite3.", "libexpat.", "libz.",   "libbz2.", "liblzma.",  "libreadline.",
        "libtinfo.",  "libncurses", "libuuid.",    "libmpdec.", "libgdbm", "libdb-",  "libtirpc.", "libnsl."};
    const struct ledger_text *text = module->path ? ledger_entry(LEDGER_TEXT, module->path) : NULL;
    size_t length = text && text->length_plus_1 ? text->length_plus_1 - 1 : 0;
    const char *slash = length ? memrchr(text->bytes, '/', length) : NULL;

    for (size_t i = 0; slash && i < ARRAY_SIZE(names); i++)
        if ((size_t)(text->bytes + length - slash - 1) >= strlen(names[i]) &&
            memcmp(slash + 1, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

static void look_at_module(struct scan_cached *cached, const struct ledger_module *module)
{
    if (!module->end || module->last_epoch != UINT32_MAX)
        return;
    if ((uintptr_t)exit - module->start < module->end - module->start)
        cached->libc = (struct scan_range){module->start, module->end};
    if (cached->scan->python.active && is_c_library(module) &&
        !scan_range_add(&cached->libraries, module->start, module->end))
        cached->scan->failed = true;
}

void scan_cached_init(struct scan_cached *cached, struct scan *scan, uint16_t *marks, uint32_t *owned, uint32_t *listed)
{
    uint32_t segments = __atomic_load_n(&ledger_header->segments, __ATOMIC_ACQUIRE), seen = 0;
    const struct pyapi *api = scan->python.active ? scan->python.api : NULL;
    void *main = api && api->main_interpreter ? api->main_interpreter() : NULL;

    *cached = (struct scan_cached){.scan = scan, .marks = marks, .owned = owned, .listed = listed};
    cached->interpreter = main ? scan_index_find(&scan->index, (uintptr_t)main) : SCAN_NONE;
    for (uint32_t n = 0; n < segments; n++) {
        if (ledger_header->directory[n] != LEDGER_MODULES)
            continue;
        const struct ledger_module *modules = (const void *)ledger_segments[LEDGER_MODULES][seen++];
        for (uint32_t i = 0; i < ledger_per_segment(LEDGER_MODULES); i++)
            look_at_module(cached, &modules[i]);
    }
    scan_ranges_order(&cached->libraries);
}

void scan_cached_done(struct scan_cached *cached)
{
    scan_array_done(&cached->data);
    scan_array_done(&cached->libraries);
}

/* `address` lies in the data of a module that was loaded in the scope. */
static void add_data(struct scan_cached *cached, uintptr_t address)
{
    const struct scan_range *data = address ? scan_range_find(&cached->scan->data, address) : NULL;

    if (!data || data->start > address || cached_is_in(&cached->scan->interpreter, address))
        return;
    if (!scan_range_add(&cached->data, data->start, data->end))
        cached->scan->failed = true;
    scan_ranges_order(&cached->data);
}

void scan_cached_add_module(struct scan_cached *cached, uint32_t number)
{
    const struct scan_block *block = cached_block(cached, number);
    add_data(cached, cached_word(cached, block->start + block->object + MODULE_DEF));
}

void scan_cached_add_loaded(struct scan_cached *cached, uint32_t number)
{
    const struct scan_block *block = cached_block(cached, number);

    if (block->domain == DOMAIN_MALLOC && block->size >= LINK_MAP_LEAST && scan_is_loaders(cached->scan, block))
        add_data(cached, cached_word(cached, block->start + LINK_MAP_DYNAMIC));
}

static void mark_block(const struct scan_cached *cached, uintptr_t address, uint16_t mark)
{
    uint32_t block = address ? scan_index_find(&cached->scan->index, address) : SCAN_NONE;
    if (block != SCAN_NONE)
        cached->marks[block] |= mark;
}

static bool is_of_library(const struct scan_cached *cached, uintptr_t address)
{
    return cached_is_in(&cached->scan->interpreter, address) || cached_is_in_ranges(&cached->scan->library, address);
}

static void count_strange(const struct scan_cached *cached, uint32_t target, void *ret)
{
    const struct scan_block *block = cached_block(cached, target);
    uintptr_t type = cached_type(cached, block);
    bool weak = type && type == (uintptr_t)cached->scan->python.api->weakref_types[0];

    /* the hash of a class's address is that */
    *(int *)ret += weak ? 1 : cached_is_object(block) && !(block->facts & (FACT_INT | FACT_TYPE)) ? -4 : 0;
}

static void count_strange_in_table(const struct scan_cached *cached, uint32_t target, void *ret)
{
    if (!cached_is_object(cached_block(cached, target)))
        cached_for_each_edge(cached, target, count_strange, ret);
}

/* A type's dict of its subclasses: weak references, and what is left of others in free entries. */
bool scan_cached_has_subclasses(const struct scan_cached *cached, uint32_t dict)
{
    int weak = 0;

    cached_for_each_edge(cached, dict, count_strange_in_table, &weak);
    return weak > 0;
}

void scan_cached_drop_edges(const struct scan_cached *cached, uint32_t block)
{
    struct scan *scan = cached->scan;
    uint32_t *edges = (void *)scan->edges.data;

    for (uint64_t i = scan->first[block]; i < scan->first[block + 1]; i++)
        edges[i] = SCAN_EDGE_NONE;
}

static void drop_class(const struct scan_cached *cached, uint32_t target, void *context)
{
    (void)context;
    if (cached_is_object(cached_block(cached, target)) && cached_block(cached, target)->facts & FACT_INT)
        scan_cached_drop_edges(cached, target);
}

static void close_subclasses(const struct scan_cached *cached, uint32_t table, void *context)
{
    struct scan *scan = cached->scan;
    uint32_t *edges = (void *)scan->edges.data;

    (void)context;
    if (cached_is_object(cached_block(cached, table)))
        return;
    cached->marks[table] |= MARK_CLOSED;
    cached_for_each_edge(cached, table, drop_class, NULL);
    for (uint64_t i = scan->first[table]; i < scan->first[table + 1]; i++)
        if (edges[i] != SCAN_EDGE_NONE && cached_block(cached, edges[i] & SCAN_EDGE_TARGET)->facts & FACT_TYPE)
            edges[i] = SCAN_EDGE_NONE;
}

/* In the table of interned strings each is its own value. It owns none of them. */
static bool is_interned_table(const struct scan_cached *cached, const struct scan_block *table)
{
    uint64_t words[INTERNED_WORDS];
    unsigned pairs = 0;

    if (table->size < INTERNED_LEAST ||
        !scan_copy(&cached->scan->reader, words, table->start + (table->size * 3 / 10 & ~7ul), sizeof(words)))
        return false;
    for (unsigned i = 0; i + 1 < INTERNED_WORDS; i++)
        pairs += words[i] == words[i + 1] && pycompat_plausible(words[i]);
    return pairs >= INTERNED_PAIRS;
}

static void drop_interned_table(const struct scan_cached *cached, uint32_t target, void *context)
{
    (void)context;
    if (!cached_is_object(cached_block(cached, target)) && is_interned_table(cached, cached_block(cached, target)))
        scan_cached_drop_edges(cached, target);
}

static void drop_interned(const struct scan_cached *cached, uint32_t target, void *context)
{
    if (cached_is_object(cached_block(cached, target)) && cached_block(cached, target)->facts & FACT_DICT)
        cached_for_each_edge(cached, target, drop_interned_table, context);
}

void scan_cached_drop_borrowed(struct scan_cached *cached)
{
    const struct scan *scan = cached->scan;
    const uint32_t *roots = (const void *)scan->roots.data;
    const uintptr_t *places = (const void *)scan->places.data;

    if (cached->interpreter != SCAN_NONE)
        cached_for_each_edge(cached, cached->interpreter, drop_interned, NULL);
    for (size_t i = 0; scan->python.active && i < scan->roots.used / sizeof(*roots); i++)
        if (roots[i] != SCAN_EDGE_NONE && cached_is_in(&scan->interpreter, places[i]))
            drop_interned(cached, roots[i] & SCAN_EDGE_TARGET, NULL);
}

static void mark_array(const struct scan_cached *cached, uint32_t target, void *context)
{
    (void)context;
    if (!cached_is_object(cached_block(cached, target)) && cached_block(cached, target)->domain == DOMAIN_RAW)
        cached->marks[target] |= MARK_ARRAY;
}

static void find_codec(const struct scan_cached *cached, uint32_t target, void *ret)
{
    *(bool *)ret |= cached_is_named(cached, cached_block(cached, target), "CodecInfo");
}

static void find_codec_in_table(const struct scan_cached *cached, uint32_t target, void *ret)
{
    if (!cached_is_object(cached_block(cached, target)))
        cached_for_each_edge(cached, target, find_codec, ret);
}

static void mark_state(const struct scan_cached *cached, uint32_t target, void *context)
{
    const struct scan_block *block = cached_block(cached, target);
    const uint32_t *state = context; /* NULL: static data */

    if (state && *state == cached->interpreter &&
        (scan_cached_is_owned(cached, target) || scan_cached_is_free(cached, 0, target)))
        return; /* in a free list, where entries stay behind */
    if (!cached_is_object(block)) {
        cached->marks[target] |= MARK_ARRAY;
        if (block->domain == DOMAIN_RAW) /* a hash table has its entries in lists */
            cached_for_each_edge(cached, target, mark_array, NULL);
    } else if (block->facts & (FACT_DICT | FACT_LIST)) {
        bool codecs = false;
        cached_for_each_edge(cached, target, find_codec_in_table, &codecs);
        bool plain = codecs || block->facts & FACT_LIST;
        scan_cached_mark_table((struct scan_cached *)(uintptr_t)cached, target,
                               plain ? MARK_DICT | MARK_ARRAY : MARK_DICT);
        if (scan_cached_has_subclasses(cached, target))
            cached_for_each_edge(cached, target, close_subclasses, NULL);
    }
}

/* A dict of a module of the library, which is no module's names: what it has made by itself is a cache. */
static void mark_library_dict(const struct scan_cached *cached, uint32_t target, void *context)
{
    const struct scan_block *block = cached_block(cached, target);

    (void)context;
    if (!cached_is_object(block))
        cached->marks[target] |= MARK_ARRAY;
    else if (block->facts & FACT_DICT)
        scan_cached_mark_table((struct scan_cached *)(uintptr_t)cached, target, MARK_DICT | MARK_ARRAY);
}

static void mark_from_state(const struct scan_cached *cached, uint32_t state)
{
    bool own = state == cached->interpreter || cached_block(cached, state)->facts & FACT_THREAD_STATE;

    cached_for_each_edge(cached, state, own ? mark_state : mark_library_dict, &state);
}

/* The names of the attributes of instances. */
static void mark_shared_keys(const struct scan_cached *cached, uint32_t target, void *context)
{
    (void)context;
    if (!cached_is_object(cached_block(cached, target)))
        cached->marks[target] |= MARK_ARRAY;
}

bool scan_cached_is_static_type(const struct scan_cached *cached, uintptr_t address)
{
    const struct scan_type *type =
        cached_is_in_ranges(&cached->scan->data, address) ? scan_type_get(&cached->scan->python, address, 0) : NULL;
    return type && type->flags & TYPE_VALID;
}

/* A type's dict of its subclasses. */
static void close_dict(struct scan_cached *cached, uint32_t dict)
{
    if (!cached_is_object(cached_block(cached, dict)) || !(cached_block(cached, dict)->facts & FACT_DICT))
        return;
    cached->marks[dict] |= (uint16_t)(MARK_CLOSED | (cached->marks[dict] & MARK_MADE ? MARK_OUT : 0));
    scan_cached_mark_table(cached, dict, MARK_CLOSED);
    cached_for_each_edge(cached, dict, close_subclasses, NULL);
}

static void mark_subclasses(struct scan_cached *cached, uintptr_t address)
{
    uint32_t dict = pycompat_plausible(address) ? scan_index_find(&cached->scan->index, address) : SCAN_NONE;

    if (dict != SCAN_NONE)
        close_dict(cached, dict);
}

/* Since 3.13 the interpreter's data has the dicts of static types of extension modules, too: behind the type and three flags.
 * `offset`: of the dict. */
static bool is_in_type_state(const struct scan_cached *cached, uintptr_t place, unsigned offset)
{
    uint64_t words[3];

    if (cached->scan->python.minor < 13 || !cached_is_in(&cached->scan->interpreter, place) ||
        !scan_copy(&cached->scan->reader, words, place - offset, sizeof(words)))
        return false;
    return (uint32_t)words[1] <= 1 && words[1] >> 32 <= 1 && (uint32_t)words[2] <= 1 &&
           scan_cached_is_static_type(cached, words[0]);
}

bool scan_cached_is_type_state(const struct scan_cached *cached, uintptr_t place)
{
    return is_in_type_state(cached, place, STATE_DICT) || is_in_type_state(cached, place, STATE_SUBCLASSES);
}

static void mark_root(struct scan_cached *cached, uintptr_t place, uint32_t target)
{
    const struct scan *scan = cached->scan;

    if (scan_cached_is_static_type(cached, place - TP_SUBCLASSES) || is_in_type_state(cached, place, STATE_SUBCLASSES))
        close_dict(cached, target);
    else if (cached_is_in(&scan->interpreter, place) && !scan_cached_is_free(cached, place, target))
        mark_state(cached, target, NULL);
    else if (cached_is_in_ranges(&scan->library, place))
        mark_library_dict(cached, target, NULL);
}

/* Static data of the interpreter, and its structures in blocks, lead to dicts of names, of interned strings, of codecs, of modules and
 * of those of static types, and to arrays of strings. */
static void mark_from_states(struct scan_cached *cached)
{
    const struct scan *scan = cached->scan;
    const uint32_t *roots = (const void *)scan->roots.data;
    const uintptr_t *places = (const void *)scan->places.data;

    for (uint32_t i = 0; i < scan->index.count; i++)
        if (cached->marks[i] & MARK_STATE)
            mark_from_state(cached, i);
    for (size_t i = 0; i < scan->roots.used / sizeof(*roots); i++)
        if (roots[i] != SCAN_EDGE_NONE && (i < scan->late_roots || scan_cached_is_type_state(cached, places[i]) ||
                                           !scan_cached_is_owned(cached, roots[i] & SCAN_EDGE_TARGET)))
            mark_root(cached, places[i], roots[i] & SCAN_EDGE_TARGET);
}

/* A module that is made in one phase: the interpreter has a copy of its names for the next interpreter. */
static void mark_copy(struct scan_cached *cached, uintptr_t definition)
{
    uintptr_t address = definition ? cached_word(cached, definition + DEF_COPY) : 0;
    uint32_t copy = pycompat_plausible(address) ? scan_index_find(&cached->scan->index, address) : SCAN_NONE;

    if (copy != SCAN_NONE && cached_is_object(cached_block(cached, copy)) &&
        cached_block(cached, copy)->facts & FACT_DICT && cached->marks[copy] & MARK_MADE)
        cached->marks[copy] |= MARK_CLOSED;
}

void scan_cached_mark_states(struct scan_cached *cached)
{
    struct scan *scan = cached->scan;

    if (cached->interpreter != SCAN_NONE)
        cached->marks[cached->interpreter] |= MARK_STATE;
    for (uint32_t i = 0; i < scan->index.count; i++) {
        const struct scan_block *block = cached_block(cached, i);
        if (!cached_is_object(block)) {
            cached->marks[i] |= (uint16_t)(block->facts & FACT_THREAD_STATE ? MARK_STATE : 0);
            continue;
        }
        uintptr_t object = block->start + block->object;
        if (block->facts & FACT_MODULE && is_of_library(cached, cached_word(cached, object + MODULE_DEF)))
            mark_block(cached, cached_word(cached, object + MODULE_STATE), MARK_STATE);
        if (block->facts & FACT_MODULE)
            mark_copy(cached, cached_word(cached, object + MODULE_DEF));
        if (block->facts & FACT_TYPE) {
            cached_for_each_edge(cached, i, mark_shared_keys, NULL);
            mark_subclasses(cached, cached_word(cached, object + TP_SUBCLASSES));
        }
    }
    mark_from_states(cached);
}
