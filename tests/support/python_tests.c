/* SPDX-License-Identifier: MIT */
#include "python_tests.h"

#include "spawn.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

char *script_path(const char *name)
{
    return text_format("%s/tests/targets/%s", test_variable("TEST_SOURCE"), name);
}

char *extension_variable(const struct python *python)
{
    char *folder = python_extension(python);
    if (!folder)
        cr_skip_test("Python %s has no headers", python->version);
    char *variable = text_format("PYTHONPATH=%s", folder);
    free(folder);
    return variable;
}

struct criterion_test_params all_pythons(void)
{
    static struct python pythons[PYTHONS_MAX];
    size_t count = pythons_find(pythons);
    return cr_make_param_array(struct python, pythons, count);
}

struct criterion_test_params some_pythons(void)
{
    static struct python pythons[PYTHONS_MAX];
    size_t count = pythons_find(pythons), oldest = 0, newest = 0;

    for (size_t i = 1; i < count; i++) {
        if (pythons[i].minor < pythons[oldest].minor)
            oldest = i;
        if (pythons[i].minor > pythons[newest].minor)
            newest = i;
    }
    struct python chosen[] = {pythons[0], pythons[oldest], pythons[newest]};
    size_t distinct = count > 0;
    for (size_t i = 1; count > 0 && i < 3; i++)
        if (strcmp(chosen[i].path, pythons[0].path) != 0 && strcmp(chosen[i].path, chosen[distinct - 1].path) != 0)
            chosen[distinct++] = chosen[i];
    memcpy(pythons, chosen, sizeof(chosen));
    return cr_make_param_array(struct python, pythons, distinct);
}
