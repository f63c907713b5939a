/* SPDX-License-Identifier: MIT
 *
 * Which loaded object an address belonged to at a time: the ledger's modules, sorted for look-ups. */
#ifndef SHIM_REPORT_MODULES_H
#define SHIM_REPORT_MODULES_H

#include "ledger_view.h"

struct module_range {
    uint64_t start, end, bias;
    uint64_t reach; /* highest end of this range and all before it */
    uint32_t first_epoch, last_epoch;
    uint32_t id; /* LEDGER_MODULES */
};

/* Returns a sorted array of *count ranges that report_free releases, or NULL when memory is out. */
struct module_range *module_ranges_new(const struct ledger_view *view, size_t *count);

/* The range that holds `address` and was valid in `epoch`. When none was valid then, but just one range of all times holds
 * the address (a module that the shim noticed late), that one; else NULL. */
const struct module_range *module_ranges_find(const struct module_range *ranges, size_t count, uint64_t address,
                                              uint32_t epoch);

#endif
