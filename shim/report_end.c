/* SPDX-License-Identifier: MIT
 *
 * The end of a process and what its report lacks (report_end.h). */
#include "report_end.h"

#include "compiler.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

struct lack_text {
    uint32_t lack;
    const char *text;
};

static const struct lack_text lack_texts[] = {
    {LACK_LEDGER_FULL, "no memory or disk space was left for the ledger: later blocks are not recorded"},
    {LACK_UNWINDER, "libunwind could not be loaded: native stacks may end early"},
    {LACK_PYTHON_UNKNOWN, "the version of the Python interpreter is not known: there are no Python stacks"},
    {LACK_FREE_THREADED,
     "the Python interpreter is free-threaded: blocks of the domains mem and obj and Python stacks are not recorded"},
    {LACK_OPTION, "an option asked for something that this build of memshim cannot do"},
    {LACK_STACKS_FULL, "no room was left for stacks: some blocks have none"},
    {LACK_PYTHON_RESTARTS,
     "the interpreter replaced its allocators too often: later blocks of the domains mem and obj are not recorded"},
    {LACK_SCAN, "memory could not be scanned at the end: which blocks are lost is not known"},
    {LACK_REGISTERS,
     "the registers of running threads cannot be seen: where few blocks of one stack seem lost, they are called "
     "possibly lost"},
    {LACK_MARKS, "no memory was left to count all blocks at each mark: some growth may be missing"},
    {LACK_COLLECTION, "garbage was not collected before this snapshot: the main thread ran no Python code in time"},
    {LACK_SCAN_PART, "some memory could not be scanned: blocks may seem lost that are not"},
};

/* Reads /proc/PID/stat. Returns false when there is no such process. */
static bool read_stat(int pid, char *buffer, size_t size)
{
    _cleanup_close_ int fd = -1;
    char path[40];
    ssize_t length;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    length = fd >= 0 ? read(fd, buffer, size - 1) : -1;
    if (length <= 0)
        return false;
    buffer[length] = 0;
    return true;
}

uint64_t report_process_start(int pid)
{
    char buffer[1024];
    const char *at;

    if (pid <= 0 || !read_stat(pid, buffer, sizeof(buffer)))
        return 0;
    at = strrchr(buffer, ')'); /* field 2 is the name, which may hold anything */
    if (!at || strlen(at) < 3 || strchr("ZXx", at[2]))
        return 0;
    for (unsigned field = 2; field < 22 && at; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at, NULL, 10) : 0;
}

/* True while the very process lives that the ledger is of: same pid, same time of start, and not a zombie. */
static bool process_lives(const struct ledger_header *header)
{
    uint64_t start = report_process_start(header->pid);
    return start && (header->process_start == 0 || start == header->process_start);
}

struct report_end report_end_of(const struct ledger_header *header, const struct report_end *known)
{
    uint32_t ended = __atomic_load_n(&header->ended, __ATOMIC_ACQUIRE);

    if (known && known->ended)
        return *known;
    if (ended == END_EXIT)
        return (struct report_end){"exit", header->status, header->ended_at};
    if (ended == END_EXEC)
        return (struct report_end){"exec", header->status, header->ended_at};
    return (struct report_end){process_lives(header) ? "unknown" : "killed", 0, 0};
}

static int add_damage(json_t *array, uint64_t damaged)
{
    char text[96];

    if (damaged == 0)
        return 0;
    snprintf(text, sizeof(text), "the ledger is damaged: %" PRIu64 " of its entries could not be read", damaged);
    return json_array_append_new(array, json_string(text));
}

json_t *report_lacks(const struct ledger_view *view, uint64_t damaged)
{
    uint32_t lacks = __atomic_load_n(&view->header->lacks, __ATOMIC_RELAXED);
    json_t *array = json_array();
    int error = 0;

    for (size_t i = 0; i < ARRAY_SIZE(lack_texts); i++) {
        if (lacks & lack_texts[i].lack)
            error |= json_array_append_new(array, json_string(lack_texts[i].text));
    }
    if (view->truncated)
        error |= json_array_append_new(array, json_string("the ledger is truncated"));
    error |= add_damage(array, damaged);
    if (error) {
        json_decref(array);
        return NULL;
    }
    return array;
}
