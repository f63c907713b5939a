/* SPDX-License-Identifier: MIT
 *
 * What tests of Python have in common. */
#ifndef TESTS_PYTHON_TESTS_H
#define TESTS_PYTHON_TESTS_H

#include "pythons.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

/* The path of tests/targets/NAME. The caller frees it. */
char *script_path(const char *name);

/* PYTHONPATH for the example extension; skips the test when it cannot be compiled. The caller frees it. */
char *extension_variable(const struct python *python);

/* Parameters of a test: every interpreter of this machine; or the system's, the oldest and the newest, for what does not depend
 * on the version. */
struct criterion_test_params all_pythons(void);
struct criterion_test_params some_pythons(void);

#endif
