/* SPDX-License-Identifier: MIT */
#include "log.h"

#include "calm.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

unsigned log_verbosity;

void log_write(const char *text, size_t size)
{
    int saved = errno;
    struct calm calm;

    calm_begin(&calm);
    if (write(STDERR_FILENO, text, size) < 0) {
        /* nobody to tell */
    }
    calm_end(&calm);
    errno = saved;
}

void log_line(unsigned level, const char *format, ...)
{
    if (level > log_verbosity)
        return;
    int saved = errno;
    char line[600] = "memshim: ";
    size_t used = strlen(line);
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(line + used, sizeof(line) - used - 1, format, arguments);
    va_end(arguments);
    if (length > 0)
        used += MIN((size_t)length, sizeof(line) - used - 2);
    line[used++] = '\n';
    log_write(line, used);
    errno = saved;
}
