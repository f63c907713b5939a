/* SPDX-License-Identifier: MIT
 *
 * Pools of custom allocators (memshim_mempool_create in memshim/memshim.h): tracked regions that belong together, so that they can be
 * freed together. */
#ifndef SHIM_MEMPOOLS_H
#define SHIM_MEMPOOLS_H

/* In a forked child: there are none. */
void mempools_fork_child(void);

#endif
