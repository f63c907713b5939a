/* SPDX-License-Identifier: MIT */
#include "calm.h"

#include <errno.h>
#include <time.h>

static const int held[] = {SIGPIPE, SIGXFSZ};

static void fill(sigset_t *set)
{
    sigemptyset(set);
    for (size_t i = 0; i < ARRAY_SIZE(held); i++)
        sigaddset(set, held[i]);
}

void calm_begin(struct calm *calm)
{
    sigset_t set;

    calm->cancel = calm_hold();
    fill(&set);
    calm_mask(SIG_BLOCK, &set, &calm->before);
}

/* Takes back what came in between. What the program itself holds back may have been there before. */
void calm_end(const struct calm *calm)
{
    const struct timespec at_once = {0};
    int saved = errno;
    sigset_t set;

    fill(&set);
    for (size_t i = 0; i < ARRAY_SIZE(held); i++)
        if (sigismember(&calm->before, held[i]))
            sigdelset(&set, held[i]);
    while (sigtimedwait(&set, NULL, &at_once) > 0)
        ;
    calm_mask(SIG_SETMASK, &calm->before, NULL);
    calm_release(calm->cancel);
    errno = saved;
}
