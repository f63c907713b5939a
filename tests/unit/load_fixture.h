/* SPDX-License-Identifier: MIT
 *
 * What the tests of the loader share: a model, and a folder for files. */
#ifndef TESTS_LOAD_FIXTURE_H
#define TESTS_LOAD_FIXTURE_H

#include "load.h"
#include "sample_report.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct model model;
static struct load_error error;
static char folder[64];

static void set_up(void)
{
    strcpy(folder, "/tmp/memshim-load-XXXXXX");
    cr_assert(mkdtemp(folder));
}

static void tear_down(void)
{
    char command[128];

    model_clear(&model);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    cr_assert_eq(system(command), 0);
}

__attribute__((unused)) static const char *path_of(const char *name)
{
    static char path[256];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

__attribute__((unused)) static void write_file(const char *name, const char *text, size_t size)
{
    FILE *file = fopen(path_of(name), "w");

    cr_assert(file);
    cr_assert_eq(fwrite(text, 1, size, file), size);
    fclose(file);
}

__attribute__((unused)) static int load(const char *text)
{
    return sample_load(&model, text, strlen(text), &error);
}

#endif
