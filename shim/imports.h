/* SPDX-License-Identifier: MIT
 *
 * Functions of the interpreter that extension modules call and that the shim wants to hear of. Where the interpreter is a shared
 * library, modules find the shim's functions of these names first. An executable comes before all that is preloaded: what
 * is linked into it is called past the shim, unless the module's own table of imports says otherwise. */
#ifndef SHIM_IMPORTS_H
#define SHIM_IMPORTS_H

/* Looks the real functions up with dlsym(handle, ..), as pyapi_find does. */
void imports_find(void *handle);

/* The library was loaded (a handle of dlopen): its imports lead to the shim's functions. Does nothing where they do already, or
 * before imports_find. Inside the guard of thread.h. */
void imports_redirect(void *handle);

#endif
