/* SPDX-License-Identifier: MIT
 *
 * The public functions of memshim/memshim.h. */
#include "compiler.h"
#include "memshim/memshim.h"

_exported_ const char *memshim_version(void)
{
    return MEMSHIM_VERSION;
}
