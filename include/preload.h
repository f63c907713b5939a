/* SPDX-License-Identifier: MIT
 *
 * How the launcher names the shim in LD_PRELOAD. */
#ifndef PRELOAD_H
#define PRELOAD_H

/* Before the absolute path of the shim. The loader of the GNU C library puts the name of its library folder in the place of $LIB and
 * comes to the root folder again, however deep that folder lies. The loader of musl, which would load the shim and then refuse the
 * program for what the shim needs, finds no folder of that name, and leaves the shim out without a word. */
#define PRELOAD_GNU_ONLY "/$LIB/../../../../../.."

#endif
