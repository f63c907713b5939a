/* SPDX-License-Identifier: MIT */
#include "snapshot_copy.h"

#include "arena.h"
#include "ledger.h"
#include "ledger_view.h"
#include "marks.h"
#include "pymem.h"
#include "report_writer.h"
#include "snapshot_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static uint32_t *taken_word;

static void taken(void)
{
    __atomic_store_n(taken_word, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, taken_word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* The program's pipes and sockets must not seem to be open for longer than the program holds them. The first three numbers are
 * taken again: what is written to the standard error must not reach a file of ours. */
static void close_all(void)
{
    if (syscall(SYS_close_range, 0, ~0u, 0) < 0)
        for (int fd = 0; fd < 65536; fd++)
            close(fd);
    while (open("/dev/null", O_RDWR) >= 0 && fcntl(STDERR_FILENO, F_GETFD) < 0)
        ;
}

/* The header that the process itself has: this one will be a copy. */
static struct ledger_header *map_original(void)
{
    int fd = ledger_descriptor();
    void *memory = fd < 0 ? MAP_FAILED : mmap(NULL, LEDGER_SEGMENT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static int write_report(const char *path)
{
    struct ledger_view view;
    const char *why = "";
    int fd = ledger_descriptor();
    int result = fd < 0 ? fd : ledger_view_open_fd(&view, fd, &why);

    if (result < 0)
        return result;
    report_use_memory(snapshot_malloc, snapshot_free);
    result = report_write_file(&view, &(struct report_end){.ended = "unknown"}, path);
    ledger_view_close(&view);
    return result;
}

static int work(const struct snapshot *snapshot)
{
    int result = ledger_detach(taken);

    if (result < 0)
        return result;
    ledger_header->snapshot = snapshot->number;
    if (snapshot->uncollected)
        ledger_lacks(LACK_COLLECTION);
    if (snapshot->scan)
        scan_run(&(struct scan_options){
            .python = pymem_api(), .types = true, .growth = marks_suffice(), .threads = &snapshot->threads});
    return write_report(snapshot->path);
}

_Noreturn void snapshot_copy_work(const struct snapshot *snapshot)
{
    struct ledger_header *original = map_original();

    taken_word = snapshot->taken;
    close_all();
    arena_fork_child();
    int result = work(snapshot);
    taken();
    if (original && snapshot->request) {
        original->answer = snapshot->number;
        original->answer_error = result;
        __atomic_store_n(&original->answered, snapshot->request, __ATOMIC_RELEASE);
    }
    for (;;)
        syscall(SYS_exit_group, -result & 0xff);
}
