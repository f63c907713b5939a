/* SPDX-License-Identifier: MIT
 *
 * See tee.h. */
#include "tee.h"

#include "compiler.h"
#include "emit.h"
#include "symbols.h"

#include <errno.h>
#include <string.h>

static bool begins_with(const char *text, size_t length, const char *begin)
{
    return length >= strlen(begin) && memcmp(text, begin, strlen(begin)) == 0;
}

/* The symbols for the frame that was added last, or 0 of them. */
static size_t find_symbols(struct tee *tee, const struct process *process, const struct symbol **ret)
{
    const struct raw_frame *raw = &process->frames[process->frame_count - 1];

    if (raw->language != FRAME_NATIVE || !process->modules[raw->index].path ||
        process_symbols(process, process->frame_count - 1, ret) > 0)
        return 0;
    return symbols_find(tee->symbols, &process->modules[raw->index], raw_frame_address(raw), ret);
}

static void put_symbols(FILE *out, const struct symbol *symbols, size_t count)
{
    fputs(",\"symbols\":[", out);
    for (size_t i = 0; i < count; i++) {
        fputs(i ? ",{\"function\":" : "{\"function\":", out);
        emit_json(out, symbols[i].function);
        if (symbols[i].mangled) {
            fputs(",\"mangled\":", out);
            emit_json(out, symbols[i].mangled);
        }
        fputs(",\"file\":", out);
        emit_json(out, symbols[i].file);
        fprintf(out, ",\"line\":%d}", symbols[i].line);
    }
    fputs("]}", out);
}

void tee_line(struct tee *tee, const struct process *process, const char *text, size_t length)
{
    const struct symbol *symbols = NULL;
    size_t count = 0, end = length;

    if (tee->error)
        return;
    while (end > 0 && strchr(" \t\r", text[end - 1]))
        end--;
    if (tee->symbols && begins_with(text, length, "{\"frame\":") && end > 0 && text[end - 1] == '}')
        count = find_symbols(tee, process, &symbols);
    if (tee->symbols && symbols_failed(tee->symbols)) {
        tee->error = -ENOMEM;
        return;
    }
    errno = 0;
    fwrite(text, 1, count ? end - 1 : length, tee->out);
    if (count)
        put_symbols(tee->out, symbols, count);
    fputc('\n', tee->out);
    if (ferror(tee->out))
        tee->error = errno ? -errno : -EIO;
}
