/* SPDX-License-Identifier: MIT
 *
 * Has memory that cannot be read like other memory (argument 1 says which), goes on allocating, and ends. */
#include "kept.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define MIB (1UL << 20)

/* As collectors and sanitizers reserve it: of 4 TiB three pages are in use. */
static void sparse(void)
{
    char *p = mmap(NULL, 4 * MIB * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    CHECK(p != MAP_FAILED);
    p[0] = p[MIB * MIB] = p[3 * MIB * MIB] = 1;
}

static void sparse_shared(void)
{
    int fd = memfd_create("sparse", 0);

    CHECK(fd >= 0 && ftruncate(fd, 4L * MIB * MIB) == 0);
    CHECK(mmap(NULL, 4 * MIB * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED);
}

/* A mapped file that has become shorter: SIGBUS for whoever reads. */
static void cut_file(void)
{
    int fd = memfd_create("cut", 0);
    char *p;

    CHECK(fd >= 0 && ftruncate(fd, MIB) == 0);
    p = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED);
    memset(p, 1, MIB);
    CHECK(ftruncate(fd, 4096) == 0);
}

/* Pages that another thread would have to bring, and that never come: whoever reads them waits for ever. */
static void never_there(void)
{
    struct uffdio_api api = {.api = UFFD_API};
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    char *p = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (fd < 0 || ioctl(fd, UFFDIO_API, &api) < 0)
        exit(77);
    p[8192] = 1;
    struct uffdio_register range = {.range = {(uintptr_t)p, MIB}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    CHECK(ioctl(fd, UFFDIO_REGISTER, &range) == 0);
}

static void grows_down(void)
{
    char *p =
        mmap(NULL, 16 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_STACK, -1, 0);
    CHECK(p != MAP_FAILED);
    p[15 * 4096] = 1;
}

static void locked(void)
{
    if (mlockall(MCL_CURRENT | MCL_FUTURE))
        exit(77);
}

/* The program takes away what it thinks nobody needs: everything from an address hint on that is free, and the heap's rights. */
static void execute_only(void)
{
    char *p = mmap(NULL, MIB, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(p != MAP_FAILED);
    memset(p, 0xc3, MIB);
    CHECK(mprotect(p, MIB / 2, PROT_EXEC) == 0 && mprotect(p + MIB / 2, 4096, PROT_NONE) == 0);
}

static void many_mappings(void)
{
    for (int i = 0; i < 30000; i++) {
        char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(p != MAP_FAILED && mprotect(p, 4096, PROT_READ) == 0);
    }
}

static const struct {
    const char *name;
    void (*make)(void);
} ways[] = {
    {"sparse", sparse},
    {"sparse_shared", sparse_shared},
    {"cut_file", cut_file},
    {"never_there", never_there},
    {"grows_down", grows_down},
    {"locked", locked},
    {"execute_only", execute_only},
    {"many_mappings", many_mappings},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++)
        if (argc > 1 && strcmp(argv[1], ways[i].name) == 0)
            ways[i].make();
    for (size_t i = 0; i < 100000; i++)
        use(malloc(i % 100));
    keep(8, 80);
    tell(8, 80);
    return 2;
}
