/* SPDX-License-Identifier: MIT
 *
 * The commands' options for suppressions, and what they say of them. See command.h. */
#include "command.h"

#include "text.h"

#include <errno.h>
#include <string.h>
#include <time.h>

int view_read_rules(struct view *view, const char *path, bool baseline)
{
    struct suppress_error error;
    int r = suppressions_read(&view->suppressions, path, baseline, &error);

    if (r == 0)
        return EXIT_DONE;
    if (r == -ENOMEM) {
        command_error("%s: out of memory", path);
        return EXIT_TROUBLE;
    }
    if (error.text)
        command_error("%s:%lu: %s", path, error.line, error.text);
    else
        command_error("%s: %s", path, strerror(-r));
    return EXIT_USAGE;
}

int reading_suppress(struct reading *reading, struct suppressions *suppressions)
{
    char today[11] = "0000-00-00";
    time_t now = time(NULL);
    struct tm day;

    if (localtime_r(&now, &day))
        strftime(today, sizeof(today), "%Y-%m-%d", &day);
    int r = suppressions_apply(suppressions, &reading->leaks, today);
    return r < 0 ? r : suppressions_apply_to_errors(suppressions, &reading->model, reading->symbols);
}

int view_finish_rules(struct view *view)
{
    struct suppress_error error;

    if (view->rules_finished)
        return EXIT_DONE;
    view->rules_finished = true;
    view->options.rules = &view->suppressions;
    int r = suppressions_read_builtin(&view->suppressions, &error);
    if (r == 0)
        return EXIT_DONE;
    command_error("python.supp:%lu: %s", error.line, error.text ? error.text : strerror(-r));
    return EXIT_TROUBLE;
}

static void tell_over(const struct suppression *rule)
{
    char blocks[TEXT_NUMBER_SIZE], bytes[TEXT_NUMBER_SIZE];

    command_error("%s:%lu: the leak has grown beyond its limit, to %s bytes in %s blocks: \"%s\"", rule->source,
                  rule->line, text_number(bytes, rule->bytes), text_number(blocks, rule->blocks), rule->text);
}

/* What a baseline accepts and is not there any more. */
struct slack {
    size_t gone, shrunk;
};

static void tell_slack(const struct slack *slack)
{
    if (slack->gone)
        command_error("%zu leak%s of the baseline %s gone: it can be written anew", slack->gone,
                      text_plural(slack->gone), slack->gone == 1 ? "is" : "are");
    if (slack->shrunk)
        command_error("%zu leak%s of the baseline %s smaller now: it can be written anew", slack->shrunk,
                      text_plural(slack->shrunk), slack->shrunk == 1 ? "is" : "are");
}

static void count_slack(struct slack *slack, const struct suppression *rule)
{
    if (!rule->leaks)
        slack->gone++;
    else if (!rule->over && ((rule->max_bytes != UINT64_MAX && rule->bytes < rule->max_bytes) ||
                             (rule->max_blocks != UINT64_MAX && rule->blocks < rule->max_blocks)))
        slack->shrunk++;
}

int view_tell_rules(const struct view *view)
{
    struct slack slack = {0};
    bool unused = false;

    for (size_t i = 0; i < view->suppressions.count; i++) {
        const struct suppression *rule = &view->suppressions.items[i];
        if (rule->builtin)
            continue;
        if (rule->over)
            tell_over(rule);
        else if (rule->expired)
            command_error("%s:%lu: expired on %s: \"%s\"", rule->source, rule->line, rule->until, rule->text);
        if (rule->expired)
            continue;
        if (rule->baseline) {
            count_slack(&slack, rule);
        } else if (!rule->used && view->unused_rules != UNUSED_IGNORE) {
            command_error("%s:%lu: nothing is suppressed by \"%s\"", rule->source, rule->line, rule->text);
            unused = true;
        }
    }
    if (!view->allow_shrink && view->unused_rules != UNUSED_IGNORE) {
        tell_slack(&slack);
        unused = unused || slack.gone || slack.shrunk;
    }
    return unused && view->unused_rules == UNUSED_ERROR ? EXIT_FOUND : EXIT_DONE;
}
