/* SPDX-License-Identifier: MIT
 *
 * The demangler is libstdc++'s own, found when the first mangled name comes along: where there is C++ to demangle, it is
 * nearly always installed. libiberty's would have to be linked statically, and its licence (GPL and LGPL parts) does not
 * go with the one of this project; a link to libstdc++ would make every run load a C++ runtime. */
#include "demangle.h"

#include <ctype.h>
#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define RUST_HASH_LENGTH 16 /* hex digits of "::h0123456789abcdef" */

typedef char *(*demangle_function)(const char *name, char *buffer, size_t *size, int *status);

static demangle_function demangler_find(void)
{
    static bool looked;
    static demangle_function found;
    void *library;

    if (!looked) {
        looked = true;
        library = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_LOCAL);
        if (library)
            *(void **)&found = dlsym(library, "__cxa_demangle");
    }
    return found;
}

/* Rust ends each name with a hash of the compilation, which changes with every build. */
static void cut_rust_hash(char *name)
{
    size_t length = strlen(name);
    char *hash = name + length - RUST_HASH_LENGTH;

    if (length <= RUST_HASH_LENGTH + 3 || memcmp(hash - 3, "::h", 3) != 0)
        return;
    for (size_t i = 0; i < RUST_HASH_LENGTH; i++)
        if (!isxdigit((unsigned char)hash[i]))
            return;
    hash[-3] = '\0';
}

char *demangle(const char *name)
{
    demangle_function demangler;
    char *readable;
    int status;

    if (strncmp(name, "_Z", 2) != 0)
        return NULL;
    demangler = demangler_find();
    if (!demangler)
        return NULL;
    readable = demangler(name, NULL, NULL, &status);
    if (readable)
        cut_rust_hash(readable);
    return readable;
}
