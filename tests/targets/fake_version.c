/* SPDX-License-Identifier: MIT
 *
 * Preloaded before libpython: an interpreter of a version that nobody knows yet. */
extern const unsigned long Py_Version;
const char *Py_GetVersion(void);

const unsigned long Py_Version = 0x036300f0;

const char *Py_GetVersion(void)
{
    return "3.99.0 (main, Jan  1 2030, 00:00:00) [GCC 12.2.0]";
}
