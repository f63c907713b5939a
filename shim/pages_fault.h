/* SPDX-License-Identifier: MIT
 *
 * The SIGSEGV of an access to an inaccessible page of pages.h becomes a memory error; then the program's own handling of the
 * signal goes on (signals.h). */
#ifndef SHIM_PAGES_FAULT_H
#define SHIM_PAGES_FAULT_H

/* Begins. */
void pages_fault_init(void);

#endif
