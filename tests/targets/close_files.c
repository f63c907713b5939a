/* SPDX-License-Identifier: MIT
 *
 * Does what daemons do: closes every file descriptor, changes the folder, and goes on allocating. Tells by its exit
 * status that a descriptor it opened afterwards is the lowest one. */
#include "target.h"

#include <fcntl.h>

int main(void)
{
    puts("closing");
    fflush(stdout);
    for (int fd = 0; fd < 1024; fd++)
        close(fd);
    if (chdir("/"))
        return 1;
    for (int i = 0; i < 50000; i++)
        use(malloc(16));
    lose(6, 66);
    int fd = open("/dev/null", O_RDONLY);
    lose(6, 66);
    return fd == 0 ? 0 : 10 + fd;
}
