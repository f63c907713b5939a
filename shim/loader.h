/* SPDX-License-Identifier: MIT
 *
 * See loader.c. */
#ifndef SHIM_LOADER_H
#define SHIM_LOADER_H

#include <stdbool.h>

/* Looks for what a dlopen brought whose return the hook did not see. Inside the guard of thread.h, on the thread that called
 * dlopen. Returns false when the loader is still at work. */
bool loader_look_again(void);

#endif
