/* SPDX-License-Identifier: MIT
 *
 * Closes all descriptors but the first three, as daemons do, and has files of its own at the numbers where the shim's were: nothing may
 * be written to or read from them. Then code runs that nobody has seen so far, so that there is something to find out about it. */
#include "kept.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define FIRST 3
#define LAST 300

static int pairs[LAST];

static void take_all(void)
{
    for (int fd = FIRST; fd < LAST; fd++)
        CHECK(dup2(pairs[fd % 2], fd) == fd);
}

static int compare(const void *a, const void *b)
{
    free(use(malloc(30)));
    return *(const int *)a - *(const int *)b;
}

/* By way of code of the C library and of another library that has not been on a stack yet. */
static void go_new_ways(const char *library)
{
    int numbers[] = {3, 1, 2};
    void (*work)(int count) = NULL;
    void *handle = dlopen(library, RTLD_NOW);

    qsort(numbers, 3, sizeof(*numbers), compare);
    if (handle)
        work = (void (*)(int))dlsym(handle, "plugin_work");
    if (work)
        work(100);
}

int main(int argc, char **argv)
{
    int files[2];
    struct stat status;
    char byte;

    if (argc > 2 && strcmp(argv[2], "range") == 0) {
        if (close_range(FIRST, ~0U, 0) < 0)
            return 77;
    } else {
        for (int fd = FIRST; fd < 1024; fd++)
            close(fd);
    }
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, files) == 0);
    CHECK(dup2(files[0], 500) == 500 && dup2(files[1], 501) == 501);
    CHECK(write(501, "0123456789", 10) == 10);
    pairs[0] = 500;
    pairs[1] = open("/dev/shm", O_TMPFILE | O_RDWR, 0600);
    CHECK(pairs[1] >= 0 && dup2(pairs[1], 502) == 502);
    pairs[1] = 502;
    take_all();
    for (size_t i = 0; i < 100000; i++)
        use(malloc(i % 100));
    go_new_ways(argv[1]);
    keep(5, 55);
    for (int i = 0; i < 10; i++)
        CHECK(read(500, &byte, 1) == 1 && byte == '0' + i);
    CHECK(read(501, &byte, 1) < 0);
    CHECK(fstat(502, &status) == 0 && status.st_size == 0);
    for (int fd = FIRST; fd < LAST; fd++)
        CHECK(fcntl(fd, F_GETFD) == 0);
    tell(5, 55);
    return 2;
}
