/* SPDX-License-Identifier: MIT
 *
 * The public functions of memshim/memshim.h. */
#include "compiler.h"
#include "guarded.h"
#include "memshim/memshim.h"
#include "unwind.h"

_exported_ const char *memshim_version(void)
{
    return MEMSHIM_VERSION;
}

_exported_ int memshim_check(void)
{
    return (int)guarded_check_all(UNWIND_HERE);
}
