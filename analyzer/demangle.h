/* SPDX-License-Identifier: MIT
 *
 * Names of C++ functions (and of Rust's, in its older scheme) as people write them. Not thread-safe. */
#ifndef ANALYZER_DEMANGLE_H
#define ANALYZER_DEMANGLE_H

/* The demangled name, which the caller frees; NULL when `name` is not a mangled one, or there is no demangler or no
 * memory: show it as it is. */
char *demangle(const char *name);

#endif
