/* SPDX-License-Identifier: MIT
 *
 * Work for the analyzer: STACKS blocks, each from a call path of its own through functions that call each other, and each path
 * BLOCKS times; then an end by exit (a report) or by SIGKILL (a ledger). BELOW functions are the same on all paths.
 *
 * usage: many STACKS BLOCKS exit|kill [BELOW] */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BELOW 20
#define LEVELS 6 /* ten functions: six decimal digits of the path make a million */

static void *last;
static unsigned long blocks;

static void step(unsigned long path, int levels);

/* Ten functions that differ in nothing but their addresses. */
#define FUNCTION(n) \
    __attribute__((noinline, noclone)) static void function_##n(unsigned long path, int levels) \
    { \
        step(path, levels); \
        __asm__ volatile("" ::"i"(n)); \
    }
FUNCTION(0)
FUNCTION(1)
FUNCTION(2)
FUNCTION(3)
FUNCTION(4)
FUNCTION(5)
FUNCTION(6)
FUNCTION(7)
FUNCTION(8)
FUNCTION(9)

static void (*const functions[])(unsigned long path, int levels) = {
    function_0, function_1, function_2, function_3, function_4,
    function_5, function_6, function_7, function_8, function_9,
};

__attribute__((noinline, noclone)) static void step(unsigned long path, int levels)
{
    if (levels > 0) {
        functions[path % 10](path / 10, levels - 1);
        __asm__ volatile("");
        return;
    }
    for (unsigned long i = 0; i < blocks; i++)
        *(void *volatile *)&last = malloc(16 + i % 32);
}

/* Frames that all paths share, as those of a program do. */
__attribute__((noinline, noclone)) static void below(int frames, unsigned long path)
{
    if (frames > 0)
        below(frames - 1, path);
    else
        step(path, LEVELS);
    __asm__ volatile("");
}

int main(int argc, char **argv)
{
    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: many STACKS BLOCKS exit|kill [BELOW]\n");
        return 2;
    }
    unsigned long stacks = strtoul(argv[1], NULL, 10);
    blocks = strtoul(argv[2], NULL, 10);
    int frames = argc == 5 ? atoi(argv[4]) : BELOW;
    for (unsigned long path = 0; path < stacks; path++)
        below(frames, path);
    if (strcmp(argv[3], "kill") == 0)
        raise(SIGKILL);
    return 0;
}
