/* SPDX-License-Identifier: MIT
 *
 * Where the loader reads from: folders, pipes, ledgers. */
#include "fake_ledger.h"
#include "load_fixture.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/stat.h>

TestSuite(load_files, .init = set_up, .fini = tear_down);

Test(load_files, a_folder_is_read_in_order_of_start)
{
    char text[8192];
    size_t length = strlen(SAMPLE);

    strcpy(text, SAMPLE);
    write_file("b.jsonl", text, length);
    memcpy(strstr(text, "\"sequence\":3"), "\"sequence\":1",
           12); /* the same pid before exec, at the same microsecond */
    write_file("c.jsonl", text, length);
    memcpy(strstr(text, "2026-01"), "2025-01", 7);
    write_file("d.jsonl", text, length);
    write_file("d.jsonl.part", "x", 1);
    write_file("README", "x", 1);
    cr_assert_eq(load_path(&model, folder, &error), 0, "%s", error.text);
    load_done(&model);
    cr_assert_eq(model.process_count, 3);
    cr_expect_str_eq(model.processes[0]->path, path_of("d.jsonl"));
    cr_expect_str_eq(model.processes[1]->path, path_of("c.jsonl"));
    cr_expect_str_eq(model.processes[2]->path, path_of("b.jsonl"));
}

Test(load_files, a_bad_file_in_a_folder_is_named)
{
    write_file("a.jsonl", SAMPLE, strlen(SAMPLE));
    write_file("b.jsonl", "nonsense\n", 9);
    cr_expect_eq(load_path(&model, folder, &error), -EINVAL);
    cr_expect_str_eq(error.source, path_of("b.jsonl"));
    cr_expect_eq(error.line, 1);
}

Test(load_files, an_empty_folder_is_an_error)
{
    cr_expect_eq(load_path(&model, folder, &error), -EINVAL);
    cr_expect_str_eq(error.source, folder);
    cr_expect_str_eq(error.text, "no reports in this folder");
}

Test(load_files, the_ledger_of_a_report_is_skipped_and_another_is_not)
{
    write_file("a.jsonl", SAMPLE, strlen(SAMPLE));
    write_file("a.ledger", "x", 1);
    cr_assert_eq(load_path(&model, folder, &error), 0, "%s", error.text);
    cr_expect_eq(model.process_count, 1);
    write_file("b.ledger", "x", 1);
    cr_expect_neq(load_path(&model, folder, &error), 0);
    cr_expect_str_eq(error.source, path_of("b.ledger"));
    cr_expect(error.text[0]);
}

Test(load_files, what_cannot_be_opened_is_named)
{
    cr_expect_eq(load_path(&model, path_of("none"), &error), -ENOENT);
    cr_expect_str_eq(error.source, path_of("none"));
    cr_expect_str_eq(error.text, strerror(ENOENT));
    cr_assert_eq(symlink("/nowhere/at-all", path_of("gone.ledger")), 0);
    cr_expect_eq(load_path(&model, folder, &error), -ENOENT);
    cr_expect_str_eq(error.source, path_of("gone.ledger"));
}

Test(load_files, a_report_comes_through_a_pipe)
{
    FILE *pipe =
        popen("printf '%s\\n' '{\"memshim\":1,\"pid\":9}' '{\"end\":true,\"ended\":\"exit\",\"lines\":2}'", "r");

    cr_assert(pipe);
    cr_assert_eq(load_stream(&model, pipe, "-", &error), 0);
    cr_expect_eq(model.processes[0]->pid, 9);
    cr_expect(!model.processes[0]->truncated);
    pclose(pipe);
}

/* Writes a ledger of one block, which a Python function allocated. */
static void write_ledger(const char *name)
{
    struct fake_ledger fake;
    struct ledger_code code = {.used = 1, .first_line = 5};
    uint32_t id, trace;

    fake_init(&fake);
    code.file = fake_text(&fake, "a.py");
    code.name = fake_text(&fake, "f\xff");
    id = fake_add(&fake, LEDGER_CODES, &code);
    trace = fake_trace(&fake, 0, fake_node(&fake, 0, (uint64_t)id << 32 | 8, NODE_PYTHON), 1, 24);
    fake_block(&fake, 24, trace, DOMAIN_OBJ, 0, 0);
    write_file(name, (const char *)fake.base, fake.size);
    fake_done(&fake);
}

static void expect_ledger(int r, const char *path)
{
    const struct process *p;

    cr_assert_eq(r, 0, "%s: %s", error.source, error.text);
    cr_assert_eq(model.process_count, 1);
    p = model.processes[0];
    cr_expect_str_eq(p->path, path);
    cr_expect(!p->truncated);
    cr_expect_eq(p->pid, 4242);
    cr_assert_eq(p->group_count, 1);
    cr_expect_eq(p->groups[0].bytes, 24);
    cr_assert_eq(p->code_count, 2);
    cr_expect_str_eq(p->codes[1].name, "f\\xff");
}

Test(load_files, a_ledger_is_read_like_a_report)
{
    write_ledger("p.ledger");
    expect_ledger(load_path(&model, path_of("p.ledger"), &error), path_of("p.ledger"));
    cr_expect_str_eq(model.processes[0]->ended, "exit");
    cr_expect_eq(model.processes[0]->status, 3);
}

Test(load_files, a_ledger_is_known_by_its_first_bytes)
{
    write_ledger("renamed");
    expect_ledger(load_path(&model, path_of("renamed"), &error), path_of("renamed"));
}

Test(load_files, a_ledger_in_a_folder_may_be_a_link)
{
    char elsewhere[256], subfolder[256];

    write_ledger("elsewhere");
    strcpy(elsewhere, path_of("elsewhere"));
    strcpy(subfolder, path_of("reports"));
    cr_assert_eq(mkdir(subfolder, 0700), 0);
    cr_assert_eq(symlink(elsewhere, path_of("reports/p.ledger")), 0);
    expect_ledger(load_path(&model, subfolder, &error), path_of("reports/p.ledger"));
}

Test(load_files, the_launcher_knows_better_how_a_process_ended)
{
    struct report_end end = {.ended = "killed", .status = 9};

    write_ledger("p.ledger");
    expect_ledger(load_ledger(&model, path_of("p.ledger"), &end, &error), path_of("p.ledger"));
    cr_expect_str_eq(model.processes[0]->ended, "killed");
    cr_expect_eq(model.processes[0]->status, 9);
}
