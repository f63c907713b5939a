/* SPDX-License-Identifier: MIT */
#include "pythons.h"
#include "spawn.h"

#include <criterion/criterion.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OLDEST_MINOR 8

/* Six lines: the executable, the version, the minor version, the folder of Python.h, libpython, how it is linked. */
static const char describe[] = "import os, sys, sysconfig\n"
                               "v = sysconfig.get_config_var\n"
                               "include = sysconfig.get_path('include')\n"
                               "library = os.path.join(v('LIBDIR') or '', v('INSTSONAME') or '')\n"
                               "print(os.path.realpath(sys.executable))\n"
                               "print(sys.version.split()[0])\n"
                               "print(sys.version_info[1] if sys.version_info[0] == 3 else 0)\n"
                               "print(include if os.path.exists(include + '/Python.h') else '')\n"
                               "print(library if v('Py_ENABLE_SHARED') and os.path.exists(library) else '')\n"
                               "print('shared' if 'libpython' in open('/proc/self/maps').read() else 'static')\n";

static void take_line(char **rest, char *line, size_t size)
{
    char *end = strchrnul(*rest, '\n');
    snprintf(line, size, "%.*s", (int)(end - *rest), *rest);
    *rest = *end ? end + 1 : end;
}

static bool python_describe(const char *path, struct python *ret)
{
    struct outcome outcome = spawn_run(LIST(path, "-I", "-c", describe), NULL);
    bool good = outcome.status == 0;
    char *rest = outcome.out, minor[16];

    if (good) {
        take_line(&rest, ret->path, sizeof(ret->path));
        take_line(&rest, ret->version, sizeof(ret->version));
        take_line(&rest, minor, sizeof(minor));
        take_line(&rest, ret->include, sizeof(ret->include));
        take_line(&rest, ret->library, sizeof(ret->library));
        take_line(&rest, ret->linked, sizeof(ret->linked));
        ret->minor = atoi(minor);
    }
    outcome_clear(&outcome);
    return good && ret->minor >= OLDEST_MINOR;
}

static size_t add(struct python *pythons, size_t count, const char *path)
{
    if (count == PYTHONS_MAX || access(path, X_OK) || !python_describe(path, &pythons[count]))
        return count;
    for (size_t i = 0; i < count; i++)
        if (strcmp(pythons[i].path, pythons[count].path) == 0)
            return count;
    return count + 1;
}

static size_t add_pattern(struct python *pythons, size_t count, const char *pattern)
{
    glob_t paths;

    if (glob(pattern, 0, NULL, &paths) == 0) {
        for (size_t i = 0; i < paths.gl_pathc; i++)
            count = add(pythons, count, paths.gl_pathv[i]);
        globfree(&paths);
    }
    return count;
}

/* `pyenv root`, without running it: the variable, or the folder where it is by default. */
static char *pyenv_root(void)
{
    const char *root = getenv("PYENV_ROOT"), *home = getenv("HOME");
    return root && *root ? strdup(root) : text_format("%s/.pyenv", home ? home : "");
}

size_t pythons_find(struct python pythons[PYTHONS_MAX])
{
    const char *more = getenv("TEST_PYTHONS");
    char *root = pyenv_root(), *pattern = text_format("%s/versions/3.*/bin/python3", root);
    char *list = strdup(more ? more : ""), *rest = NULL;

    size_t count = add(pythons, 0, "/usr/bin/python3");
    count = add_pattern(pythons, count, pattern);
    for (char *path = strtok_r(list, ":", &rest); path; path = strtok_r(NULL, ":", &rest))
        count = add(pythons, count, path);
    free(root);
    free(pattern);
    free(list);
    return count;
}

static bool newer(const char *path, const char *than)
{
    struct stat a, b;
    return stat(path, &a) == 0 && stat(than, &b) == 0 && a.st_mtime > b.st_mtime;
}

/* C with the lines of the source. The caller frees the path. */
static char *translate(const char *source, const char *module, const char *partial)
{
    char *made = text_format("%s.c", partial);
    struct outcome outcome =
        spawn_run(LIST("cython3", "-3", "--line-directives", "--module-name", module, source, "-o", made), NULL);

    cr_assert(outcome.status == 0, "%s: %s", source, outcome.err);
    outcome_clear(&outcome);
    return made;
}

char *python_compile(const struct python *python, const char *source_name, const char *name)
{
    if (!python->include[0])
        return NULL;
    char *folder = text_format("%s/extension-%s-%s", test_variable("TEST_TARGETS"), python->version, python->linked);
    char *library = text_format("%s/%s.so", folder, name), *partial = text_format("%s.%d", library, getpid());
    char *source = text_format("%s/tests/targets/%s", test_variable("TEST_SOURCE"), source_name);
    char *include = text_format("-I%s", python->include);
    struct outcome made = spawn_run(LIST("mkdir", "-p", folder), NULL);

    outcome_clear(&made);
    /* Tests run side by side: each compiles to a name of its own, and the last one wins. */
    if (!newer(library, source)) {
        bool is_cython = strcmp(source + strlen(source) - 4, ".pyx") == 0;
        char *code = is_cython ? translate(source, name, partial) : text_format("%s", source);
        made = spawn_run(LIST("cc", "-shared", "-fPIC", "-g", "-O1", include, code, "-o", partial), NULL);
        cr_assert(made.status == 0, "compiling %s for Python %s: %s", source_name, python->version, made.err);
        cr_assert(rename(partial, library) == 0);
        if (is_cython)
            unlink(code);
        free(code);
        outcome_clear(&made);
    }
    free(library);
    free(partial);
    free(source);
    free(include);
    return folder;
}

char *python_extension(const struct python *python)
{
    return python_compile(python, "quickstart/leaky.c", "leaky");
}
