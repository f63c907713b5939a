/* SPDX-License-Identifier: MIT
 *
 * (module, ELF address) -> function, file, line and inlined callers, by elfutils' libdw; separate debug files and debuginfod
 * (when asked for and DEBUGINFOD_URLS is set) as libdw finds them. A module whose build-id is not the recorded one is stale:
 * it is never named from the wrong file. Results are cached. Not thread-safe. */
#ifndef ANALYZER_SYMBOLS_H
#define ANALYZER_SYMBOLS_H

#include "model.h"

struct symbols;

/* NULL when memory is out. Without `debuginfod` DEBUGINFOD_URLS is taken out of the environment, since libdw would ask the
 * servers by itself. Must be freed before the models whose processes it was used for. */
struct symbols *symbols_new(bool debuginfod);
void symbols_free(struct symbols *symbols);

/* Whether memory was out at some time, so that something may be unnamed that has a name: -ENOMEM is then what to return. */
bool symbols_failed(const struct symbols *symbols);

/* The positions for `address` in `module`: one, or more when functions were inlined there, innermost first. `address` is
 * looked up as it is (callers subtract 1 from return addresses). Returns their number (0: nothing known, or stale, or
 * symbols_failed); *ret lives as long as `symbols`. */
size_t symbols_find(struct symbols *symbols, const struct module *module, uint64_t address, const struct symbol **ret);

/* The variable of `module` that `address` lies in, and how far behind its start. NULL if not known, or
 * symbols_failed. */
const char *symbols_variable(struct symbols *symbols, const struct module *module, uint64_t address,
                             uint64_t *ret_offset);

/* A place for what another module (frames.c) keeps along with the symbols: *ret_data is its own, and `release` (may be
 * NULL) is called with it by symbols_free. */
void **symbols_attachment(struct symbols *symbols, void (*release)(void *data));

/* True when the file at module->path is not the one that was loaded. */
bool symbols_stale(struct symbols *symbols, const struct module *module);

#endif
