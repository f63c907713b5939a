/* SPDX-License-Identifier: MIT
 *
 * Fills as the hooks have them that are compiled for AVX2. */
#if defined(__x86_64__) && defined(__GNUC__)
#pragma GCC target("avx2")
#endif

#include "guard_sizes.h"

Test(guard_wide, fills_and_looks_at_all_bytes_and_no_others)
{
#ifdef __x86_64__
    if (!__builtin_cpu_supports("avx2"))
        cr_skip_test("no AVX2");
#endif
    assert_all_sizes();
}
