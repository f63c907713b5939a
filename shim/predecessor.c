/* SPDX-License-Identifier: MIT */
#include "predecessor.h"

#include "compiler.h"
#include "ledger_file.h"
#include "memshim/report.h"
#include "report_writer.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#define IMAGES_MAX 4u /* ledgers that one process may leave: failed execs keep theirs in use */

/* "dir/a.jsonl" -> the symbolic link "dir/a.ledger". */
static void remove_link(const char *report)
{
    char link[LEDGER_PATH_MAX];
    size_t stem = strlen(report), suffix = strlen(MEMSHIM_REPORT_SUFFIX);

    if (stem < suffix)
        return;
    if ((size_t)snprintf(link, sizeof(link), "%.*s" MEMSHIM_LEDGER_SUFFIX, (int)(stem - suffix), report) < sizeof(link))
        unlink(link);
}

static bool is_predecessor(const struct ledger_header *header)
{
    return header->pid == getpid() && header->process_start == ledger_file_process_start() && header->ended != END_EXIT;
}

static void report_image(const char *path)
{
    static const struct report_end replaced = {.ended = "exec"};
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    struct ledger_view view;
    struct stat status;

    /* Anybody may put a file there, and its header says where the report is written. */
    if (fd < 0 || fstat(fd, &status) < 0 || status.st_uid != geteuid() || !S_ISREG(status.st_mode))
        return;
    if (ledger_view_open_fd(&view, fd, NULL) < 0)
        return;
    if (is_predecessor(view.header) && report_write_file(&view, &replaced, view.header->output) == 0) {
        remove_link(view.header->output);
        unlink(path);
    }
    ledger_view_close(&view);
}

void predecessor_report(void)
{
    char path[LEDGER_PATH_MAX];

    for (unsigned n = 0; n < IMAGES_MAX; n++) {
        ledger_file_shared_name(path, sizeof(path), n);
        report_image(path);
    }
}
