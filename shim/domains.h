/* SPDX-License-Identifier: MIT
 *
 * Domains of tracked regions (memshim/memshim.h): numbers that programs use, with names. Domains are never given up. Call it
 * inside the guard of thread.h. */
#ifndef SHIM_DOMAINS_H
#define SHIM_DOMAINS_H

#include <stdint.h>

#define DOMAINS_MAX 1024u
#define DOMAINS_NAME_MAX 63u

/* numpy's, for the data of its arrays: what it tracks there is memory from malloc that it can read. */
#define DOMAINS_NUMPY 389047u

struct domain {
    uint32_t number;
    uint32_t generation, text;       /* LEDGER_TEXT ref of the name, in the ledger of that generation */
    char name[DOMAINS_NAME_MAX + 1]; /* as it stands in reports */
};

/* The place (1 .. DOMAINS_MAX) of the domain with this number, which is made when there is none: called "domain-N", if it has no
 * name yet. When there are too many, that of the domain 0. */
uint32_t domains_of_number(uint32_t number);

/* The number of the domain called `name`, which is made when there is none. 0: there is no room, or the name cannot be had: NULL,
 * empty, too long, with control characters, or that of a domain of the shim's own. */
uint32_t domains_of_name(const char *name);

/* The domain at a place that was given. Stays where it is. */
const struct domain *domains_get(uint32_t place);

/* LEDGER_TEXT ref of its name in the present ledger, or 0. */
uint32_t domains_text(uint32_t place, uint32_t generation);

/* The name whose ref in the present ledger is `text` (static storage), or NULL. */
const char *domains_name(uint32_t text, uint32_t generation);

/* In a forked child: the lock is free. */
void domains_fork_child(void);

#endif
