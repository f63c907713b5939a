/* SPDX-License-Identifier: MIT
 *
 * Counts which requests fail, for the options that let requests fail. Every function of the family is asked in turn; a failed
 * realloc must leave its block alone. */
#include "target.h"

#include <malloc.h>

#define ROUNDS 1000
#define SIZE 100

static int failures, wrong;

static void note(const void *block, int error)
{
    if (block)
        return;
    failures++;
    wrong += error != ENOMEM;
}

static void *ask(int round)
{
    void *p = NULL;
    int error = 0;

    errno = 0;
    switch (round % 6) {
    case 0:
        p = malloc(SIZE);
        break;
    case 1:
        p = calloc(2, SIZE / 2);
        break;
    case 2:
        p = realloc(NULL, SIZE);
        break;
    case 3:
        p = memalign(64, SIZE);
        break;
    case 4:
        error = posix_memalign(&p, 256, SIZE);
        break;
    case 5:
        p = reallocarray(NULL, 2, SIZE / 2);
        break;
    }
    note(use(p), error ? error : errno);
    return p;
}

/* A realloc that grows may fail, one that shrinks may not. */
static void resize(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        unsigned char *p = malloc(SIZE);
        if (!p) {
            failures++;
            continue;
        }
        memset(p, i, SIZE);
        errno = 0;
        unsigned char *grown = realloc(p, 20 * SIZE);
        note(grown, errno);
        p = grown ? grown : p;
        for (int at = 0; at < SIZE; at++)
            wrong += p[at] != (unsigned char)i;
        unsigned char *shrunk = realloc(p, SIZE / 2);
        wrong += !shrunk;
        free(shrunk);
    }
}

int main(void)
{
    static void *blocks[ROUNDS];
    char line[200];

    for (int i = 0; i < ROUNDS; i++)
        blocks[i] = ask(i);
    int asked = failures;
    for (int i = 0; i < ROUNDS; i++)
        free(blocks[i]);
    resize();
    int resized = failures - asked;
    void *large = malloc(1 << 20);
    int length = snprintf(line, sizeof(line), "new %d, resized %d, large %s, wrong %d\n", asked, resized,
                          large ? "block" : "null", wrong);
    if (write(1, line, (size_t)length) != length)
        return 2;
    free(large);
    return wrong != 0;
}
