/* SPDX-License-Identifier: MIT */
#include "labels.h"

#include "arena.h"
#include "ledger.h"
#include "lock.h"
#include "stacks.h"

#include <errno.h>
#include <string.h>

#define TEXT_MAX 63u
#define DEPTH_MAX 64u /* of labels; what is deeper keeps the last one */

/* Of one thread. */
struct labels {
    uint32_t depth;                      /* labels that are open */
    uint32_t scopes[LABELS_SCOPE_COUNT]; /* scopes that are */
    uint32_t generation;                 /* for which the following is right; 0 = for none */
    uint64_t key;                        /* of the node, 0 = there is none */
    uint32_t python, node;               /* the latest */
    struct labels *next_free;
    char texts[DEPTH_MAX][TEXT_MAX + 1];
};

bool labels_used;

static _Thread_local struct labels *own _initial_exec_;
static struct lock lock; /* of the rest */
static struct labels *free_labels;
static uint32_t users; /* threads with a label or an ignored scope */
static void (*on_change)(void);

void labels_init(void (*settle)(void))
{
    on_change = settle;
}

static bool counts(const struct labels *labels)
{
    return labels->depth || labels->scopes[LABELS_IGNORED];
}

/* Counts the thread in or out. */
static void change_users(bool more)
{
    lock_take(&lock);
    users += more ? 1 : UINT32_MAX;
    if (labels_used != (users != 0)) {
        labels_used = users != 0;
        if (on_change)
            on_change();
    }
    lock_give(&lock);
}

static struct labels *obtain(void)
{
    if (own)
        return own;
    lock_take(&lock);
    struct labels *labels = free_labels;
    if (labels)
        free_labels = labels->next_free;
    lock_give(&lock);
    if (!labels)
        labels = arena_alloc(sizeof(*labels));
    return own = labels;
}

/* ---- on the way of an event ---- */

static void renew(struct labels *labels, uint32_t generation)
{
    const char *text = labels->depth ? labels->texts[MIN(labels->depth, DEPTH_MAX) - 1] : NULL;
    uint32_t ref = text ? ledger_text(text, strlen(text)) : 0;

    labels->key = ref | (labels->scopes[LABELS_IGNORED] ? LABEL_IGNORED : 0);
    labels->python = labels->node = 0;
    labels->generation = generation;
}

uint32_t labels_apply(uint32_t python, uint32_t generation)
{
    struct labels *labels = own;

    if (!labels || !counts(labels))
        return python;
    if (labels->generation != generation)
        renew(labels, generation);
    if (!labels->key)
        return python;
    if (!labels->node || labels->python != python) {
        labels->node = stacks_node(python, labels->key, NODE_LABEL);
        labels->python = python;
    }
    return labels->node ? labels->node : python;
}

bool labels_quiet(void)
{
    return own && own->scopes[LABELS_QUIET];
}

/* ---- scopes ---- */

int labels_push(const char *what)
{
    size_t length = what ? strnlen(what, TEXT_MAX + 1) : 0;

    if (!length || length > TEXT_MAX)
        return -EINVAL;
    struct labels *labels = obtain();
    if (!labels)
        return -ENOMEM;
    bool counted = counts(labels);
    if (labels->depth < DEPTH_MAX)
        memcpy(labels->texts[labels->depth], what, length + 1);
    labels->depth++;
    labels->generation = 0;
    if (!counted)
        change_users(true);
    return 0;
}

/* After a label or an ignored scope was left. */
static int left(struct labels *labels)
{
    labels->generation = 0;
    if (!counts(labels))
        change_users(false);
    return 0;
}

int labels_pop(void)
{
    if (!own || !own->depth)
        return -EINVAL;
    own->depth--;
    return left(own);
}

int labels_enter(enum labels_scope scope)
{
    struct labels *labels = obtain();

    if (!labels)
        return -ENOMEM;
    bool counted = counts(labels);
    labels->scopes[scope]++;
    labels->generation = 0;
    if (!counted && counts(labels))
        change_users(true);
    return 0;
}

int labels_leave(enum labels_scope scope)
{
    if (!own || !own->scopes[scope])
        return -EINVAL;
    own->scopes[scope]--;
    return scope == LABELS_IGNORED ? left(own) : 0;
}

/* ---- ends ---- */

void labels_end_thread(void)
{
    struct labels *labels = own;

    if (!labels)
        return;
    own = NULL;
    if (counts(labels))
        change_users(false);
    memset(labels, 0, sizeof(*labels));
    lock_take(&lock);
    labels->next_free = free_labels;
    free_labels = labels;
    lock_give(&lock);
}

void labels_fork_child(void)
{
    users = own && counts(own);
    labels_used = users != 0;
    if (own)
        own->generation = 0;
    lock_give(&lock);
}
