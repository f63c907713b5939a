/* SPDX-License-Identifier: MIT
 *
 * Option strings: what is parsed is written in a form that is parsed to the same, and every message is one line. */
#include "fuzz.h"

#include "options.h"

static void check_message(void *context, const char *message)
{
    (void)context;
    if (!*message || strchr(message, '\n') || strchr(message, '\x1b'))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct options options, again;
    static char written[1 << 16];
    char *text = malloc(size + 1);

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    options_defaults(&options);
    options_parse(&options, text, check_message, NULL);
    if (options_format(&options, written, sizeof(written)) >= sizeof(written))
        abort();
    options_defaults(&again);
    options_parse(&again, written, NULL, NULL);
    for (size_t count, i = 0; i < (options_rows(&count), count); i++) {
        const struct option_row *row = &options_rows(&count)[i];
        const char *a = (const char *)&options + row->offset, *b = (const char *)&again + row->offset;
        if (row->type == OPTION_PATH ? strcmp(a, b) != 0 : memcmp(a, b, sizeof(uint64_t)) != 0)
            abort();
    }
    free(text);
    return 0;
}
