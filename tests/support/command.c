/* SPDX-License-Identifier: MIT */
#include "command.h"

#include "trace.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct outcome memshim(const char *const *arguments)
{
    const char *argv[32] = {memshim_path()};
    size_t count = 1;

    for (; *arguments; arguments++)
        argv[count++] = *arguments;
    return spawn_run(argv, NULL);
}

void assert_ends(const char *const *arguments, int status, const char *text)
{
    struct outcome outcome = memshim(arguments);
    char *command = text_format("memshim %s %s %s", arguments[0] ? arguments[0] : "",
                                arguments[0] && arguments[1] ? arguments[1] : "",
                                arguments[0] && arguments[1] && arguments[2] ? arguments[2] : "");
    cr_assert_eq(outcome.status, status, "%s: status %d, not %d\n%s%s", command, outcome.status, status, outcome.out,
                 outcome.err);
    cr_assert(!text || strstr(outcome.err, text), "%s: \"%s\" is not in stderr:\n%s", command, text, outcome.err);
    free(command);
    outcome_clear(&outcome);
}

char *file_in(const char *folder, const char *name)
{
    return text_format("%s/%s", folder, name);
}

void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *out = fopen(path, "w");
    cr_assert(out && fwrite(bytes, 1, size, out) == size && fclose(out) == 0, "cannot write %s", path);
}

char *read_file(const char *path, size_t *size)
{
    char *bytes = NULL;
    FILE *in = fopen(path, "r");
    cr_assert(in, "cannot read %s", path);
    fseek(in, 0, SEEK_END);
    *size = (size_t)ftell(in);
    rewind(in);
    bytes = malloc(*size + 1);
    cr_assert(bytes && fread(bytes, 1, *size, in) == *size);
    bytes[*size] = '\0';
    fclose(in);
    return bytes;
}

char *only_file(const char *folder, const char *suffix)
{
    char *command = text_format("ls %s/*%s", folder, suffix);
    struct outcome outcome = spawn_run(LIST("sh", "-c", command), NULL);
    char *path = strndup(outcome.out, strcspn(outcome.out, "\n"));
    cr_assert(outcome.status == 0 && path[0], "no %s in %s", suffix, folder);
    free(command);
    outcome_clear(&outcome);
    return path;
}
