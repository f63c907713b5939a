/* SPDX-License-Identifier: MIT
 *
 * Writes over its stack, up to `argument 2` bytes beyond a buffer, goes on allocating with a stack that leads nowhere, and returns
 * into nothing. Argument 1 is what is written: text, zeroes, or addresses of the stack itself (frames that form a circle). */
#include "kept.h"

VISIBLE static void smash(const char *what, volatile size_t bytes)
{
    char buffer[64];
    char *volatile at = buffer;
    uintptr_t self = (uintptr_t)__builtin_frame_address(0);

    for (size_t i = 0; i < bytes; i++)
        at[i] = what[0] == 't' ? 'A' : what[0] == 'z' ? 0 : (char)(self >> i % 8 * 8);
    keep(5, 50);
    free(use(malloc(10)));
    tell(5, 50);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    smash(argv[1], (size_t)atoi(argv[2]));
    return 0;
}
