/* SPDX-License-Identifier: MIT
 *
 * Suppression files and baselines: the input is the file, its first byte says which; applied to some leaks. */
#include "fuzz.h"

#include "suppress.h"

#include <sys/mman.h>
#include <unistd.h>

static const struct frame frames[] = {
    {.language = FRAME_NATIVE, .function = "malloc_wrap", .module = "/lib/libpython.so", .offset = 16, .runtime = true},
    {.language = FRAME_NATIVE, .function = "ns::leak(int)", .file = "/src/ext.cc", .line = 12, .module = "/x/ext.so"},
    {.language = FRAME_PYTHON, .function = "C.work", .file = "/somewhere/app.py", .line = 7},
    {.language = FRAME_NATIVE, .function = "main", .module = "/bin/python3", .offset = 0x30, .runtime = true},
};
static const struct frame *stack[] = {&frames[0], &frames[1], &frames[2], &frames[3]};

static void apply(struct suppressions *rules)
{
    struct leak items[4];
    struct stack_source sources[4];
    struct leaks leaks = {.items = items, .count = 4};

    for (size_t i = 0; i < 4; i++) {
        sources[i] = (struct stack_source){.stack = {stack, 4 - i}};
        items[i] = (struct leak){.kind = (enum leak_kind)i,
                                 .known = true,
                                 .domain = i % 2 ? "obj" : "malloc",
                                 .type = i % 2 ? "list" : NULL,
                                 .blocks = 10,
                                 .bytes = 1000,
                                 .source = &sources[i],
                                 .fingerprint = "0123456789abcdef0123456789abcdef"};
    }
    suppressions_apply(rules, &leaks, "2026-01-01");
    suppressions_drop_baseline(rules);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd;
    static char path[40];
    struct suppressions rules = {0};
    struct suppress_error error = {0};

    if (size < 1)
        return 0;
    if (!path[0]) {
        fd = memfd_create("rules", MFD_CLOEXEC);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    }
    if (ftruncate(fd, 0) < 0 || pwrite(fd, data + 1, size - 1, 0) != (ssize_t)(size - 1))
        abort();
    if (suppressions_read(&rules, path, data[0] & 1, &error) == 0)
        apply(&rules);
    suppressions_clear(&rules);
    return 0;
}
