/* SPDX-License-Identifier: MIT */
#include "domains.h"

#include "arena.h"
#include "compiler.h"
#include "ledger.h"
#include "lock.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define NAMED_FROM 0x80000000u /* numbers of domains that were asked for by name */

static struct domain *domains; /* DOMAINS_MAX, the first for number 0 */
static uint32_t count;
static struct lock lock;

static bool make_table(void)
{
    if (domains)
        return true;
    domains = arena_map(DOMAINS_MAX * sizeof(*domains));
    if (!domains)
        return false;
    strcpy(domains[0].name, "tracked");
    __atomic_store_n(&count, 1, __ATOMIC_RELEASE);
    return true;
}

/* Without the lock, for those that are there already. */
static uint32_t find_number(uint32_t number)
{
    uint32_t known = __atomic_load_n(&count, __ATOMIC_ACQUIRE);

    for (uint32_t i = 0; i < known; i++)
        if (domains[i].number == number)
            return i + 1;
    return 0;
}

static uint32_t find_name(const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(domains[i].name, name) == 0)
            return i + 1;
    return 0;
}

/* With the lock held. Returns the place, 0 when there is no room. */
static uint32_t add(uint32_t number, const char *name)
{
    if (count == DOMAINS_MAX)
        return 0;
    struct domain *domain = &domains[count];
    domain->number = number;
    snprintf(domain->name, sizeof(domain->name), "%s", name);
    __atomic_store_n(&count, count + 1, __ATOMIC_RELEASE);
    return count;
}

uint32_t domains_of_number(uint32_t number)
{
    uint32_t place = find_number(number);
    char name[32];

    if (likely(place))
        return place;
    if (number == DOMAINS_NUMPY)
        snprintf(name, sizeof(name), "numpy");
    else
        snprintf(name, sizeof(name), "domain-%u", number);
    lock_take(&lock);
    place = make_table() ? find_number(number) : 0;
    if (!place && domains)
        place = add(number, name);
    lock_give(&lock);
    return place ? place : domains ? 1 : 0;
}

static bool is_taken(const char *name)
{
    static const char *const taken[] = {"malloc",          "raw",   "mem",    "obj",         "new",
                                        "new[]",           "mmap",  "handle", "handle-lock", "pool",
                                        "pool-attachment", "buffer"};

    for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
        if (strcmp(name, taken[i]) == 0)
            return true;
    return false;
}

static bool is_name(const char *name)
{
    size_t length = name ? strlen(name) : 0;

    if (!length || length > DOMAINS_NAME_MAX || is_taken(name))
        return false;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    return true;
}

uint32_t domains_of_name(const char *name)
{
    uint32_t number = 0;

    if (!is_name(name))
        return 0;
    lock_take(&lock);
    uint32_t place = make_table() ? find_name(name) : 0;
    if (!place && domains)
        place = add(NAMED_FROM + count, name);
    if (place)
        number = domains[place - 1].number;
    lock_give(&lock);
    return number;
}

const struct domain *domains_get(uint32_t place)
{
    return &domains[place - 1];
}

uint32_t domains_text(uint32_t place, uint32_t generation)
{
    struct domain *domain = &domains[place - 1];

    if (unlikely(__atomic_load_n(&domain->generation, __ATOMIC_ACQUIRE) != generation)) {
        domain->text = ledger_text(domain->name, strlen(domain->name));
        __atomic_store_n(&domain->generation, generation, __ATOMIC_RELEASE);
    }
    return domain->text;
}

const char *domains_name(uint32_t text, uint32_t generation)
{
    uint32_t known = __atomic_load_n(&count, __ATOMIC_ACQUIRE);

    for (uint32_t i = 0; text && i < known; i++)
        if (domains[i].text == text && domains[i].generation == generation)
            return domains[i].name;
    return NULL;
}

void domains_fork_child(void)
{
    lock_give(&lock);
}
