/* SPDX-License-Identifier: MIT
 *
 * Descriptors of pools and allocations as bytes for other processes. They come from anywhere: what is read was checked, -EINVAL
 * otherwise. */
#ifndef CLIENT_POOL_DESCRIPTOR_H
#define CLIENT_POOL_DESCRIPTOR_H

#include "memshim/pool.h"
#include "pool_file.h"

void pool_descriptor_write(const struct pool_name *name, uint8_t bytes[MEMSHIM_POOL_SERIALIZED]);
int pool_descriptor_read(const void *bytes, size_t length, struct pool_name *ret);

void allocation_descriptor_write(const struct pool_name *name, const struct memshim_allocation *allocation,
                                 uint8_t bytes[MEMSHIM_ALLOCATION_SERIALIZED]);
int allocation_descriptor_read(const void *bytes, size_t length, struct pool_name *ret_name,
                               struct memshim_allocation *ret);

#endif
