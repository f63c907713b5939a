/* SPDX-License-Identifier: MIT */
#include "place.h"

#include "compiler.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct output_options options;
static struct output_job job = {.options = &options, .root = "/repo"};

static const struct frame runtime = {
    .language = FRAME_NATIVE, .function = "r", .file = "/repo/run.c", .line = 1, .runtime = true};
static const struct frame no_line = {.language = FRAME_NATIVE, .function = "n", .file = "/repo/n.c"};
static const struct frame no_file = {.language = FRAME_NATIVE, .function = "n", .module = "/repo/n.so"};
static const struct frame string = {.language = FRAME_PYTHON, .function = "s", .file = "<string>", .line = 1};
static const struct frame foreign = {.language = FRAME_PYTHON, .function = "f", .file = "/usr/lib/f.py", .line = 2};
static const struct frame installed = {
    .language = FRAME_PYTHON, .function = "i", .file = "/repo/.venv/lib/python3/site-packages/i.py", .line = 3};
static const struct frame own = {.language = FRAME_PYTHON, .function = "o", .file = "/repo/src/o.py", .line = 4};
static const struct frame outer = {.language = FRAME_PYTHON, .function = "p", .file = "src/p.py", .line = 5};

static struct place find(const struct frame **frames, size_t size)
{
    struct stack stack = {.frames = frames, .size = size};
    struct place place;
    place_find(&job, &stack, &place);
    return place;
}

#define FIND(...) find((const struct frame *[]){__VA_ARGS__}, ARRAY_SIZE(((const struct frame *[]){__VA_ARGS__})))

Test(place, first_frame_of_the_source_tree)
{
    struct place place = FIND(&runtime, &no_line, &no_file, &string, &foreign, &installed, &own, &outer);
    cr_expect_eq(place.frame, &own);
    cr_expect_str_eq(place.file, "src/o.py");
    cr_expect_eq(place.line, 4);
    cr_expect(place.own);
}

Test(place, else_the_first_that_is_not_the_runtime)
{
    struct place place = FIND(&runtime, &no_line, &installed, &foreign);
    cr_expect_eq(place.frame, &installed);
    cr_expect_not(place.own);
    place = FIND(&runtime, &foreign);
    cr_expect_str_eq(place.file, "/usr/lib/f.py");
    cr_expect_not(place.own);
}

Test(place, else_the_runtime_else_none)
{
    cr_expect_eq(FIND(&no_line, &runtime).frame, &runtime);
    struct place place = FIND(&no_line, &no_file, &string);
    cr_expect_null(place.frame);
    cr_expect_null(place.file);
    cr_expect_eq(place.line, 0);
}

Test(place, files)
{
    static const struct {
        const char *file, *want;
        bool own;
    } rows[] = {
        {"/repo/a.c", "a.c", true},
        {"./a.c", "a.c", true},
        {"a.c", "a.c", true},
        {"../a.c", "../a.c", false},
        {"/repository/a.c", "/repository/a.c", false},
        {"/usr/a.c", "/usr/a.c", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        bool is_own;
        cr_expect_str_eq(place_file(&job, rows[i].file, &is_own), rows[i].want);
        cr_expect_eq(is_own, rows[i].own, "%s", rows[i].file);
    }
}

Test(place, source_root)
{
    char folder[] = "/tmp/memshim-place-XXXXXX", path[128], root[128];
    cr_assert(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/repo", folder);
    mkdir(path, 0700);
    snprintf(path, sizeof(path), "%s/repo/.git", folder);
    mkdir(path, 0700);
    snprintf(path, sizeof(path), "%s/repo/sub", folder);
    mkdir(path, 0700);

    source_root_find(NULL, path, root, sizeof(root));
    snprintf(path, sizeof(path), "%s/repo", folder);
    cr_expect_str_eq(root, path, "the repository around the folder");
    source_root_find("/etc//", path, root, sizeof(root));
    cr_expect_str_eq(root, "/etc", "what is asked for");
    source_root_find(NULL, folder, root, sizeof(root));
    cr_expect_str_eq(root, folder, "no repository");
    source_root_find(NULL, path, root, 4);
    cr_expect_str_eq(root, "", "no room");

    snprintf(path, sizeof(path), "rm -r %s", folder);
    cr_expect_eq(system(path), 0);
}
