/* SPDX-License-Identifier: MIT
 *
 * Loses 5 blocks and executes itself anew, then loses 7 and ends. Same process id, two reports. */
#include "target.h"

int main(int argc, char **argv)
{
    if (argc > 1) {
        lose(7, 70);
        puts("second image");
        return 6;
    }
    lose(5, 50);
    puts("first image");
    fflush(stdout);
    execv("/proc/self/exe", (char *[]){argv[0], "again", NULL});
    return 1;
}
