/* SPDX-License-Identifier: MIT
 *
 * Becomes a daemon in the classic way: two forks, a session of its own, no folder, no descriptors. Every process keeps something and
 * says so in the file of argument 1; the daemon's last act is to rename it to argument 2. */
#include "kept.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const char *log_path;

static void say(int count)
{
    int fd = open(log_path, O_WRONLY | O_APPEND | O_CREAT, 0600);

    if (fd < 0)
        _exit(90);
    tell_to(fd, count, 30);
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    log_path = argv[1];
    keep(1, 30);
    say(1);
    if (fork() > 0)
        _exit(0);
    setsid();
    keep(2, 30);
    say(2);
    if (fork() > 0)
        exit(0);
    if (chdir("/"))
        return 91;
    umask(0);
    for (int fd = 0; fd < 1024; fd++)
        close(fd);
    for (int i = 0; i < 20000; i++)
        free(use(malloc((size_t)i % 100)));
    keep(3, 30);
    say(3);
    return rename(argv[1], argv[2]) ? 92 : 0;
}
