/* SPDX-License-Identifier: MIT */
#include "harvest.h"

#include "../support/fake_ledger.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/memshim-harvest-XXXXXX";
static struct harvest harvest;
static struct launch_result result = {.pid = -1};
static struct names before;

static void enter(void)
{
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
}

static void leave(void)
{
    char command[sizeof(folder) + 16];
    harvest_clear(&harvest);
    names_clear(&before);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    cr_expect_eq(system(command), 0);
}

TestSuite(harvest, .init = enter, .fini = leave);

static void put(const char *path, const void *bytes, size_t size)
{
    FILE *out = fopen(path, "w");
    cr_assert_eq(fwrite(bytes, 1, size, out), size);
    fclose(out);
}

static void put_ledger(const char *path, pid_t pid, uint32_t sequence, enum ledger_end ended)
{
    struct fake_ledger fake;
    fake_init(&fake);
    struct ledger_header *header = fake_header(&fake);
    header->pid = pid;
    header->sequence = sequence;
    header->ended = ended;
    fake_block(&fake, 16, fake_trace(&fake, 0, 0, 1, 16), DOMAIN_MALLOC, 0, 0);
    put(path, fake.base, fake.size);
    fake_done(&fake);
}

/* The id of a process that is no more. */
static pid_t dead_pid(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
    return pid;
}

/* A process that lives until it is killed, with the ledger mapped (or not). */
static pid_t live_process(const char *path, bool mapped)
{
    int ready[2];
    char byte = 0;
    cr_assert_eq(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* if the test fails before it ends us */
        put_ledger(path, getpid(), 0, END_NONE);
        int fd = open(path, O_RDWR);
        if (mapped)
            mmap(NULL, LEDGER_SEGMENT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
        byte = write(ready[1], &byte, 1) == 1;
        for (;;)
            pause();
    }
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    return pid;
}

static void end_process(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void expect_line(const char *path, const char *want)
{
    static char text[100000];
    FILE *in = fopen(path, "r");
    cr_assert_not_null(in, "%s", path);
    text[fread(text, 1, sizeof(text) - 1, in)] = '\0';
    fclose(in);
    cr_expect_not_null(strstr(text, want), "want %s in %s", want, text);
}

Test(harvest, a_dead_process_gets_its_report)
{
    put_ledger("a.ledger", dead_pid(), 0, END_NONE);
    cr_assert_eq(harvest_folder(folder, &before, &result, &harvest), 0);
    cr_assert_eq(harvest.reports.count, 1);
    cr_expect_not_null(strstr(harvest.reports.items[0], "/a.jsonl"));
    cr_expect_eq(access("a.ledger", F_OK), -1);
    expect_line("a.jsonl", "\"ended\":\"killed\"");
    cr_expect_eq(harvest.problem_count, 0);
}

Test(harvest, the_commands_own_end_is_what_waitpid_said)
{
    result.pid = dead_pid();
    result.status = SIGKILL;
    put_ledger("a.ledger", result.pid, 0, END_NONE);
    cr_assert_eq(harvest_folder(folder, &before, &result, &harvest), 0);
    expect_line("a.jsonl", "\"ended\":\"signal\",\"status\":9");
}

Test(harvest, an_image_that_was_followed_by_another_ended_by_exec)
{
    result.pid = dead_pid();
    result.status = 7 << 8;
    put_ledger("a.ledger", result.pid, 0, END_NONE);
    put_ledger("b.ledger", result.pid, 1, END_NONE);
    put_ledger("c.ledger", dead_pid(), 0, END_EXEC);
    cr_assert_eq(harvest_folder(folder, &before, &result, &harvest), 0);
    expect_line("a.jsonl", "\"ended\":\"exec\"");
    expect_line("b.jsonl", "\"ended\":\"exit\",\"status\":7");
    expect_line("c.jsonl", "\"ended\":\"exec\"");
}

/* A process in a namespace of its own has another id here than it knows. */
Test(harvest, a_living_process_is_found_whatever_its_id)
{
    pid_t pid = live_process("a.ledger", true), dead = dead_pid();
    FILE *file = fopen("a.ledger", "r+");
    int32_t other = (int32_t)dead;
    uint64_t start = 1;

    fseek(file, offsetof(struct ledger_header, pid), SEEK_SET);
    fwrite(&other, sizeof(other), 1, file);
    fseek(file, offsetof(struct ledger_header, process_start), SEEK_SET);
    fwrite(&start, sizeof(start), 1, file);
    fclose(file);
    cr_assert_eq(harvest_folder(folder, &before, &result, &harvest), 0);
    cr_expect_eq(harvest.reports.count, 0);
    cr_assert_eq(harvest.running_count, 1);
    cr_expect_eq(harvest.running[0], pid);
    end_process(pid);
}

/* Of a process that started at `start` and was to leave its report here, in shared memory and without a link. */
static char *put_lost_ledger(uint64_t start)
{
    static char path[64];
    struct fake_ledger fake;

    fake_init(&fake);
    struct ledger_header *header = fake_header(&fake);
    header->pid = dead_pid();
    header->process_start = start;
    header->ended = END_NONE;
    snprintf(header->output, sizeof(header->output), "%s/lost.jsonl", folder);
    snprintf(path, sizeof(path), "/dev/shm/memshim-%d-test-0.ledger", header->pid);
    put(path, fake.base, fake.size);
    fake_done(&fake);
    return path;
}

Test(harvest, a_ledger_that_the_folder_does_not_show_is_found)
{
    result.begun = 1000;
    const char *path = put_lost_ledger(1000);
    cr_assert_eq(chdir("/"), 0);
    cr_assert_eq(rmdir(folder), 0);
    cr_assert_eq(harvest_folder(folder, &before, &result, &harvest), 0);
    cr_assert_eq(harvest.reports.count, 1);
    cr_expect_not_null(strstr(harvest.reports.items[0], "/lost.jsonl"));
    cr_expect_eq(access(path, F_OK), -1);
}

Test(harvest, a_ledger_of_an_earlier_run_is_left_alone)
{
    result.begun = 1000;
    const char *path = put_lost_ledger(999);
    cr_assert_eq(harvest_folder(folder, &before, &result, &harvest), 0);
    cr_expect_eq(harvest.reports.count, 0);
    cr_expect_eq(unlink(path), 0);
}

Test(harvest, the_file_behind_a_link_goes_too)
{
    put_ledger("elsewhere", dead_pid(), 0, END_NONE);
    cr_assert_eq(symlink("elsewhere", "a.ledger"), 0);
    cr_assert_eq(harvest_folder(folder, &before, &result, &harvest), 0);
    cr_expect_eq(harvest.reports.count, 1);
    cr_expect_eq(access("elsewhere", F_OK), -1);
    cr_expect_eq(access("a.ledger", F_OK), -1);
}

Test(harvest, a_living_process_is_left_alone)
{
    pid_t pid = live_process("a.ledger", true);
    cr_assert_eq(harvest_folder(folder, &before, &result, &harvest), 0);
    cr_expect_eq(harvest.reports.count, 0);
    cr_assert_eq(harvest.running_count, 1);
    cr_expect_eq(harvest.running[0], pid);
    cr_expect_eq(access("a.ledger", F_OK), 0);
    end_process(pid);
}

Test(harvest, an_image_that_its_living_process_has_left_is_finished)
{
    pid_t pid = live_process("a.ledger", false);
    cr_assert_eq(harvest_folder(folder, &before, &result, &harvest), 0);
    cr_expect_eq(harvest.running_count, 0);
    cr_expect_eq(harvest.reports.count, 1);
    end_process(pid);
}

Test(harvest, what_was_there_before_is_not_ours)
{
    put_ledger("old.ledger", dead_pid(), 0, END_NONE);
    put("old.jsonl", "x", 1);
    put("unrelated.txt", "x", 1);
    cr_assert_eq(names_read(folder, &before), 0);
    cr_expect_eq(before.count, 2);
    put("new.jsonl", "x", 1);
    cr_assert_eq(harvest_folder(folder, &before, &result, &harvest), 0);
    cr_assert_eq(harvest.reports.count, 1);
    cr_expect_not_null(strstr(harvest.reports.items[0], "/new.jsonl"));
    cr_expect_eq(access("old.ledger", F_OK), 0);
}

Test(harvest, a_report_that_the_process_wrote_itself_stays)
{
    put_ledger("a.ledger", dead_pid(), 0, END_EXIT);
    put("a.jsonl", "its own", 7);
    cr_assert_eq(harvest_folder(folder, &before, &result, &harvest), 0);
    cr_expect_eq(harvest.reports.count, 1);
    cr_expect_eq(access("a.ledger", F_OK), -1);
    expect_line("a.jsonl", "its own");
}

Test(harvest, garbage_is_a_problem_and_the_rest_goes_on)
{
    put("a.ledger", "garbage", 7);
    put("b.ledger", "", 0);
    put_ledger("c.ledger", dead_pid(), 0, END_NONE);
    cr_assert_eq(harvest_folder(folder, &before, &result, &harvest), 0);
    cr_expect_eq(harvest.problem_count, 2);
    cr_expect_eq(harvest.reports.count, 1);
    cr_expect_eq(access("a.ledger", F_OK), 0, "what we do not understand we do not remove");
}

/* Killed before anything was written into the file that had just been made. */
Test(harvest, an_empty_ledger_of_a_dead_process_is_removed)
{
    char dead[64], living[64];

    snprintf(dead, sizeof(dead), "memshim-%d-1f2e-0.file", dead_pid());
    snprintf(living, sizeof(living), "memshim-%d-1f2e-0.file", getpid());
    put(dead, "", 0);
    put(living, "", 0);
    cr_assert_eq(symlink(dead, "a.ledger"), 0);
    cr_assert_eq(symlink(living, "b.ledger"), 0);
    cr_assert_eq(harvest_folder(folder, &before, &result, &harvest), 0);
    cr_expect_eq(harvest.problem_count, 1, "of the living one");
    cr_expect_eq(access(dead, F_OK), -1);
    cr_expect_eq(readlink("a.ledger", dead, sizeof(dead)), -1);
    cr_expect_eq(access(living, F_OK), 0);
}

Test(harvest, a_folder_that_is_not_there)
{
    cr_expect_eq(harvest_folder("/nonexistent", &before, &result, &harvest), -ENOENT);
}
