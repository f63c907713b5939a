/* SPDX-License-Identifier: MIT */
#include "signal_names.h"

#include "compiler.h"

#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *name;
    int number;
} names[] = {
    {"HUP", SIGHUP},       {"INT", SIGINT},     {"QUIT", SIGQUIT}, {"TRAP", SIGTRAP}, {"ABRT", SIGABRT},
    {"USR1", SIGUSR1},     {"USR2", SIGUSR2},   {"PIPE", SIGPIPE}, {"ALRM", SIGALRM}, {"TERM", SIGTERM},
    {"STKFLT", SIGSTKFLT}, {"CHLD", SIGCHLD},   {"CONT", SIGCONT}, {"TSTP", SIGTSTP}, {"TTIN", SIGTTIN},
    {"TTOU", SIGTTOU},     {"URG", SIGURG},     {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ}, {"VTALRM", SIGVTALRM},
    {"PROF", SIGPROF},     {"WINCH", SIGWINCH}, {"IO", SIGIO},     {"PWR", SIGPWR},   {"SYS", SIGSYS},
};

/* Signals of the processor's faults are not asked for, and two cannot be handled. */
static bool is_usable(int number)
{
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (names[i].number == number)
            return true;
    return number >= SIGRTMIN && number <= SIGRTMAX;
}

/* Decimal; -1 for anything else and for what is too large to be a signal. */
static int parse_number(const char *text, size_t length)
{
    int number = 0;

    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9' || number > SIGRTMAX)
            return -1;
        number = number * 10 + (text[i] - '0');
    }
    return length ? number : -1;
}

static bool takes(const char **text, size_t *length, const char *prefix)
{
    size_t size = strlen(prefix);

    if (*length < size || strncasecmp(*text, prefix, size) != 0)
        return false;
    *text += size;
    *length -= size;
    return true;
}

static int real_time(const char *text, size_t length)
{
    int plus = 0, base = 0;

    if (takes(&text, &length, "RTMIN"))
        base = SIGRTMIN;
    else if (takes(&text, &length, "RTMAX"))
        base = SIGRTMAX;
    else
        return -1;
    if (length == 0)
        return base;
    if ((*text != '+' || base != SIGRTMIN) && (*text != '-' || base != SIGRTMAX))
        return -1;
    plus = parse_number(text + 1, length - 1);
    if (plus < 0)
        return -1;
    return *text == '+' ? base + plus : base - plus;
}

int signal_number(const char *text, size_t length)
{
    int number = parse_number(text, length);

    if (number == 0 || (length == 4 && strncasecmp(text, "none", 4) == 0))
        return 0;
    if (number < 0) {
        takes(&text, &length, "SIG");
        number = real_time(text, length);
    }
    for (size_t i = 0; number < 0 && i < ARRAY_SIZE(names); i++)
        if (strlen(names[i].name) == length && strncasecmp(names[i].name, text, length) == 0)
            number = names[i].number;
    return number > 0 && is_usable(number) ? number : -1;
}

int signal_name(int number, char *buffer, size_t size)
{
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (names[i].number == number)
            return snprintf(buffer, size, "%s", names[i].name);
    if (number >= SIGRTMIN && number <= SIGRTMAX)
        return snprintf(buffer, size, number == SIGRTMIN ? "RTMIN" : "RTMIN+%d", number - SIGRTMIN);
    return snprintf(buffer, size, "%d", number);
}
