/* SPDX-License-Identifier: MIT */
#include "fake_ledger.h"
#include "load_fixture.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/stat.h>

TestSuite(load, .init = set_up, .fini = tear_down);

/* Damage ends one process, not those behind it. */
Test(load, a_damaged_report_and_a_whole_one_in_one_stream)
{
    static const char text[] = SAMPLE_HEAD SAMPLE_BODY "{\"stack\":1, damaged\n{\"group\":9}\n" SAMPLE;

    sample_process(&model, text);
    cr_assert_eq(model.process_count, 2);
    cr_expect(model.processes[0]->truncated);
    cr_expect_eq(model.processes[0]->group_count, 1);
    cr_expect_not(model.processes[1]->truncated);
    cr_expect_eq(model.processes[1]->group_count, 1);
    model_clear(&model);
}

Test(load, symbols_of_a_frame)
{
    static const char frame[] = "{\"frame\":4, \"language\":\"native\", \"module\":1, \"offset\":\"0x20\", \"symbols\":"
                                "[{\"function\":\"inner\", \"file\":\"a.c\", \"line\":3}, {\"function\":\"outer\", "
                                "\"file\":null, \"line\":0}, 7]}\n";
    static const char bad[] = "{\"frame\":5, \"language\":\"native\", \"module\":1, \"offset\":\"0x20\", "
                              "\"symbols\":\"none\"}\n";
    char text[sizeof(SAMPLE) + sizeof(frame) + sizeof(bad)];
    const struct symbol *symbols;

    snprintf(text, sizeof(text), "%s%s%s%s", SAMPLE_HEAD SAMPLE_BODY, frame, bad, SAMPLE_END(16));
    const struct process *process = sample_process(&model, text);
    cr_assert_not(process->truncated);
    cr_assert_eq(process_symbols(process, 4, &symbols), 3);
    cr_expect_str_eq(symbols[0].function, "inner");
    cr_expect_str_eq(symbols[0].file, "a.c");
    cr_expect_eq(symbols[0].line, 3);
    cr_expect_str_eq(symbols[1].function, "outer");
    cr_expect_null(symbols[1].file);
    cr_expect_null(symbols[2].function);
    cr_expect_eq(process_symbols(process, 1, &symbols), 0);
    cr_expect_eq(process_symbols(process, 5, &symbols), 0);
    cr_expect_eq(process_symbols(process, 99, &symbols), 0);
    model_clear(&model);
}

Test(load, every_kind_of_line_arrives)
{
    const struct process *p = sample_process(&model, SAMPLE);

    cr_expect(!p->truncated);
    cr_expect_eq(p->pid, 42);
    cr_expect_eq(p->ppid, 7);
    cr_expect_eq(p->sequence, 3);
    cr_expect_eq(p->status, 3);
    cr_expect(p->forked);
    cr_expect_str_eq(p->path, "sample");
    cr_expect_str_eq(p->program, "python3");
    cr_expect_str_eq(p->python, "3.11.2");
    cr_expect_str_eq(p->started, "2026-01-31T12:00:00.000000Z");
    cr_expect_str_eq(p->ended, "exit");
    cr_expect_str_eq(p->ended_at, "2026-01-31T12:00:01.000000Z");
    cr_expect_str_eq(p->options, "stack_depth=32");
    cr_expect_str_eq(p->version, "0.1.0");
    cr_assert_eq(p->argc, 2);
    cr_expect_str_eq(p->argv[1], "a b");
    cr_assert_eq(p->lacks_count, 1);
    cr_expect_str_eq(p->lacks[0], "no unwinder");

    cr_assert_eq(p->module_count, 2);
    cr_expect_str_eq(p->modules[1].path, "/opt/app/ext.so");
    cr_expect_str_eq(p->modules[1].build_id, "00ff");
    cr_expect_eq(p->modules[1].end, 0x7f0000010000u);
    cr_assert_eq(p->code_count, 2);
    cr_expect_str_eq(p->codes[1].file, "/srv/x\xc3\xa9.py");
    cr_expect_str_eq(p->codes[1].qualname, "C.f");
    cr_assert_eq(p->codes[1].table_size, 4);
    cr_expect_eq(p->codes[1].table[2], 0x0a);
    cr_assert_eq(p->frame_count, 4);
    cr_expect(p->frames[1].exact && !p->frames[1].entry);
    cr_expect_eq(p->frames[1].offset, 0x1234);
    cr_expect(p->frames[2].entry && !p->frames[2].exact);
    cr_expect_eq(p->frames[2].language, FRAME_PYTHON);
    cr_expect_eq(p->frames[3].language, FRAME_CUT);
    cr_expect_eq(p->frames[3].offset, 10);
    cr_assert_eq(p->node_count, 4);
    cr_expect_eq(p->nodes[2].parent, 1);
    cr_assert_eq(p->trace_count, 2);
    cr_expect_eq(p->traces[1].python, 3);
    cr_expect_eq(p->traces[1].bytes, 160);
    cr_assert_eq(p->group_count, 1);
    cr_expect_eq(p->groups[0].kind, LEAK_DEFINITE);
    cr_expect(p->groups[0].known && !p->groups[0].startup);
    cr_expect_str_eq(p->groups[0].type, "list");
    cr_assert_eq(p->error_count, 1);
    cr_expect_str_eq(p->errors[0].kind, "overflow");
    cr_expect_eq(p->errors[0].address, 0x10);
    cr_expect_eq(p->errors[0].alloc_trace, 1);
    cr_expect_eq(p->totals.allocations, 11);
    cr_expect_eq(p->totals.self_check_differences, 10);
}

Test(load, equal_texts_share_one_pointer)
{
    const struct process *p = sample_process(
        &model, SAMPLE_HEAD
        "{\"group\":1,\"trace\":0,\"kind\":\"reachable\",\"domain\":\"obj\",\"blocks\":1,\"bytes\":1}\n"
        "{\"group\":2,\"trace\":0,\"kind\":\"reachable\",\"domain\":\"o\\u0062j\",\"blocks\":1,\"bytes\":1}\n");

    cr_assert_eq(p->group_count, 2);
    cr_expect_eq(p->groups[0].domain, p->groups[1].domain);
}

/* Wherever the report is cut: not a report at all, or read up to the cut and said so. */
Test(load, truncated_at_every_byte)
{
    static const char text[] = SAMPLE;
    size_t head = strlen(SAMPLE_HEAD), whole = strlen(text);
    size_t groups = 0;

    for (size_t size = 0; size <= whole; size++) {
        struct model cut = {0};
        int r = sample_load(&cut, text, size, &error);

        if (size < head - 1) { /* without the newline the line is whole */
            cr_expect_eq(r, -EINVAL, "at %zu", size);
            cr_expect_eq(cut.process_count, 0);
            cr_expect_str_eq(error.source, "sample");
            cr_expect(error.text[0]);
        } else {
            cr_assert_eq(r, 0, "at %zu: %s", size, error.text);
            cr_assert_eq(cut.process_count, 1);
            cr_expect_eq(cut.processes[0]->truncated, size < whole - 1, "at %zu", size);
            cr_expect_geq(cut.processes[0]->group_count, groups, "nothing that was read is lost");
            groups = cut.processes[0]->group_count;
        }
        model_clear(&cut);
    }
    cr_expect_eq(groups, 1);
}

/* Whatever one byte is changed into: an error or a process, never a crash (the sanitizers look for the rest). */
Test(load, every_byte_damaged)
{
    static const char bytes[] = {'\0', '"', '{', '}', '9', '-', '\n', '\\', (char)0xff};
    static char text[] = SAMPLE;

    for (size_t i = 0; i < strlen(SAMPLE); i++) {
        for (size_t k = 0; k < sizeof(bytes); k++) {
            struct model damaged = {0};
            char before = text[i];
            int r;

            text[i] = bytes[k];
            r = sample_load(&damaged, text, sizeof(text) - 1, &error);
            cr_expect(r == 0 || r == -EINVAL);
            cr_expect_eq(damaged.process_count, r == 0);
            text[i] = before;
            model_clear(&damaged);
        }
    }
}

static void expect_refused(const char *text, unsigned long line, const char *why)
{
    cr_expect_eq(load(text), -EINVAL, "%s", text);
    cr_expect_eq(error.line, line, "%s: line %lu", text, error.line);
    cr_expect(strstr(error.text, why), "%s: %s", text, error.text);
    cr_expect_eq(model.process_count, 0);
    cr_expect(!strchr(error.text, '\n'));
}

Test(load, what_is_not_a_report_is_refused_with_its_line)
{
    expect_refused("", 0, "file is empty");
    expect_refused("\n\n", 0, "file is empty");
    expect_refused("hello\n", 1, "not a memshim report");
    expect_refused("\nhello\n", 2, "not a memshim report");
    expect_refused("{\"end\":true}\n", 1, "not a memshim report");
    expect_refused("{\"x\":1,\"memshim\":1}\n", 1, "not a memshim report");
    expect_refused("{\"memshim\":\"1\"}\n", 1, "not a memshim report");
    expect_refused("[[[[", 1, "not a memshim report");
    expect_refused("{\"memshim\":1, \"x\":\"\xff\"}\n", 1, "not a memshim report");
}

Test(load, a_foreign_version_is_refused_by_number)
{
    expect_refused("{\"memshim\":2,\"pid\":1}\n", 1,
                   "report version 2 is not supported (this is memshim " MEMSHIM_VERSION ", which reads version 1)");
    expect_refused("{\"memshim\":-1}\n", 1, "report version -1");
    expect_refused("{\"memshim\":0}\n", 1, "report version 0");
}

Test(load, nul_bytes_are_no_report)
{
    static const char zeros[100000];

    cr_expect_eq(sample_load(&model, zeros, sizeof(zeros), &error), -EINVAL);
    cr_expect(strstr(error.text, "not a memshim report"));
}

Test(load, unknown_lines_and_keys_are_ignored)
{
    const struct process *p =
        sample_process(&model, SAMPLE_HEAD
                       "{\"weather\":1, \"rain\":[1,2,{\"a\":null}]}\n{}\n"
                       "{\"trace\":1, \"native\":0, \"python\":0, \"colour\":\"red\", \"allocations\":1, \"bytes\":2}\n"
                       "{\"end\":true, \"ended\":\"signal\", \"status\":9, \"time\":null, \"lines\":5}\n");

    cr_expect(!p->truncated);
    cr_expect_eq(p->trace_count, 2);
    cr_expect_str_eq(p->ended, "signal");
    cr_expect_null(p->ended_at);
    cr_expect_eq(p->lacks_count, 0);
}

Test(load, without_an_end_it_is_truncated)
{
    cr_expect(sample_process(&model, SAMPLE_HEAD SAMPLE_BODY)->truncated);
    cr_expect_str_eq(model.processes[0]->ended, "unknown");
}

Test(load, with_lines_missing_it_is_truncated)
{
    cr_expect(sample_process(&model, SAMPLE_HEAD SAMPLE_BODY SAMPLE_END(15))->truncated);
}

Test(load, with_lines_below_the_end_it_is_truncated)
{
    cr_expect(sample_process(&model, SAMPLE "{\"totals\":true, \"frees\":1000}\n")->truncated);
    cr_expect_eq(model.processes[0]->totals.frees, 9);
}

Test(load, damage_in_the_middle_keeps_what_is_above_it)
{
    static const char trace[] = "{\"trace\":1,\"native\":0,\"python\":0,\"allocations\":1,\"bytes\":2}\n";
    static const char *const damage[] = {
        "{\"trace\":2,\"nat\n",
        "garbage\n",
        "\xff\xfe\n",
        "[1,2]\n",
        "{\"trace\":2,\"native\":77,\"python\":0,\"allocations\":1,\"bytes\":2}\n",
        "{\"trace\":2,\"native\":-1,\"python\":0,\"allocations\":1,\"bytes\":2}\n",
        "{\"trace\":2,\"native\":0,\"python\":0,\"allocations\":1,\"bytes\":-2}\n",
        "{\"trace\":2,\"native\":0,\"python\":0,\"allocations\":1,\"bytes\":99999999999999999999}\n",
        "{\"trace\":2,\"native\":0,\"python\":0,\"allocations\":1}\n",
        "{\"trace\":2,\"native\":0,\"python\":0,\"allocations\":1.5,\"bytes\":2}\n",
        "{\"trace\":1,\"native\":0,\"python\":0,\"allocations\":1,\"bytes\":2}\n", /* an id for the second time */
        "{\"trace\":0,\"native\":0,\"python\":0,\"allocations\":1,\"bytes\":2}\n",
        "{\"trace\":4294967295,\"native\":0,\"python\":0,\"allocations\":1,\"bytes\":2}\n",
        "{\"trace\":4294967296,\"native\":0,\"python\":0,\"allocations\":1,\"bytes\":2}\n",
        "{\"trace\":\"2\",\"native\":0,\"python\":0,\"allocations\":1,\"bytes\":2}\n",
        "{\"stack\":1,\"parent\":1,\"frame\":0}\n", /* its own parent */
        "{\"stack\":1,\"parent\":0,\"frame\":1}\n",
        "{\"frame\":1,\"language\":\"native\",\"module\":1,\"offset\":\"0x1\"}\n",
        "{\"frame\":1,\"language\":\"native\",\"module\":0,\"offset\":1}\n",
        "{\"frame\":1,\"language\":\"python\",\"code\":1,\"instruction\":1}\n",
        "{\"frame\":1,\"language\":\"klingon\"}\n",
        "{\"code\":1,\"file\":\"x\",\"name\":\"f\",\"table\":\"abc\"}\n",
        "{\"code\":1,\"file\":\"x\",\"name\":\"f\",\"table\":\"zz\"}\n",
        "{\"module\":1,\"path\":null,\"start\":\"0x1\",\"end\":\"0x2\",\"bias\":\"0x1\"}\n",
        "{\"group\":1,\"trace\":9,\"kind\":\"definite\",\"domain\":\"obj\",\"blocks\":1,\"bytes\":1}\n",
        "{\"group\":1,\"trace\":1,\"kind\":\"sad\",\"domain\":\"obj\",\"blocks\":1,\"bytes\":1}\n",
        "{\"error\":1,\"kind\":\"overflow\",\"address\":\"0x1\",\"size\":1,\"count\":1,\"trace\":9,\"alloc_trace\":0,"
        "\"free_trace\":0}\n",
        "{\"end\":true}\n",
    };

    for (size_t i = 0; i < sizeof(damage) / sizeof(damage[0]); i++) {
        struct model damaged = {0};
        char text[4096];

        snprintf(text, sizeof(text), "%s%s%s%s", SAMPLE_HEAD, trace, damage[i],
                 "{\"totals\":true,\"frees\":5}\n{\"end\":true,\"ended\":\"exit\",\"lines\":5}\n");
        cr_expect_eq(sample_load(&damaged, text, strlen(text), &error), 0, "%s", damage[i]);
        cr_assert_eq(damaged.process_count, 1);
        cr_expect(damaged.processes[0]->truncated, "%s", damage[i]);
        cr_expect_eq(damaged.processes[0]->trace_count, 2);
        cr_expect_eq(damaged.processes[0]->totals.frees, 0, "nothing below the damage counts: %s", damage[i]);
        model_clear(&damaged);
    }
}

Test(load, gaps_between_ids_are_empty_entries)
{
    const struct process *p = sample_process(&model, SAMPLE_HEAD "{\"stack\":1,\"parent\":0,\"frame\":0}\n"
                                                                 "{\"stack\":1000,\"parent\":1,\"frame\":0}\n"
                                                                 "{\"stack\":1001,\"parent\":500,\"frame\":0}\n");

    cr_assert_eq(p->node_count, 1002);
    cr_expect_eq(p->nodes[500].parent, 0);
    cr_expect_eq(p->nodes[1000].parent, 1);
    cr_expect_eq(p->nodes[1001].parent, 500);
}

Test(load, forged_ids_cannot_take_gigabytes)
{
    struct rlimit limit = {.rlim_cur = (rlim_t)1 << 30, .rlim_max = (rlim_t)1 << 30};
    static const char *const kinds[] = {
        "{\"stack\":4294967294,\"parent\":0,\"frame\":0}\n",
        "{\"trace\":4294967294,\"native\":0,\"python\":0,\"allocations\":1,\"bytes\":1}\n",
        "{\"code\":4294967294,\"file\":\"x\",\"name\":\"f\"}\n",
        "{\"frame\":4294967294,\"language\":\"cut\",\"frames\":1}\n",
        "{\"module\":4294967294,\"path\":\"x\",\"start\":\"0x1\",\"end\":\"0x2\",\"bias\":\"0x1\"}\n"};

#if !defined(__SANITIZE_ADDRESS__) /* whose shadow is larger than any limit */
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
#endif
    (void)limit;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct model forged = {0};
        char text[2048];

        strcpy(text, SAMPLE_HEAD);
        strcat(text, kinds[i]);
        cr_expect_eq(sample_load(&forged, text, strlen(text), &error), 0);
        cr_expect(forged.processes[0]->truncated);
        model_clear(&forged);
    }
}

Test(load, a_line_longer_than_any_buffer)
{
    size_t size = 3 << 20;
    char *text = malloc(size);
    int length = sprintf(text, "%s{\"code\":1,\"file\":\"x\",\"name\":\"f\",\"table_kind\":\"lnotab\",\"table\":\"",
                         SAMPLE_HEAD);

    memset(text + length, 'a', size - (size_t)length - 3);
    memcpy(text + size - 3, "\"}\n", 3);
    if (((size_t)size - (size_t)length - 3) % 2)
        text[size - 4] = '"', text[size - 3] = '}', text[size - 2] = ' ';
    cr_assert_eq(sample_load(&model, text, size, &error), 0);
    cr_assert_eq(model.processes[0]->code_count, 2);
    cr_expect_gt(model.processes[0]->codes[1].table_size, 1 << 20);
    free(text);
}

Test(load, a_nul_in_a_text_is_shown)
{
    const struct process *p =
        sample_process(&model, SAMPLE_HEAD "{\"code\":1,\"file\":\"x\",\"name\":\"f\\u0000g\",\"qualname\":null}\n");

    cr_expect_str_eq(p->codes[1].name, "f\\x00g");
    cr_expect_null(p->codes[1].qualname);
}

Test(load, two_reports_in_one_stream)
{
    cr_assert_eq(load(SAMPLE SAMPLE_HEAD SAMPLE_BODY SAMPLE), 0);
    cr_assert_eq(model.process_count, 3);
    cr_expect(!model.processes[0]->truncated);
    cr_expect(model.processes[1]->truncated);
    cr_expect(!model.processes[2]->truncated);
    cr_expect_eq(model.processes[2]->group_count, 1);
}

Test(load, the_second_report_of_a_stream_is_checked_too)
{
    cr_expect_eq(load(SAMPLE "{\"memshim\":7}\n"), -EINVAL);
    cr_expect_eq(error.line, 15);
}

Test(load, audit_and_explanations)
{
    const struct process *process = sample_process(
        &model, SAMPLE_HEAD SAMPLE_BODY
        "{\"audit\":1, \"trace\":1, \"type\":\"list\", \"kind\":\"reachable\", \"confidence\":\"medium\", "
        "\"startup\":false, \"interpreter\":true, \"objects\":3, \"bytes\":168, \"surplus\":7, \"least\":1, "
        "\"most\":5, "
        "\"unseen\":null}\n"
        "{\"why\":1, \"of\":9, \"role\":\"block\", \"trace\":1, \"kind\":\"reachable\", \"domain\":\"obj\", "
        "\"type\":\"list\", \"size\":56}\n"
        "{\"why\":2, \"of\":9, \"role\":\"holder\", \"trace\":1, \"kind\":\"reachable\", \"domain\":\"mem\", "
        "\"type\":null, \"size\":64, \"offset\":\"0x18\", \"name\":\"cache\"}\n"
        "{\"why\":3, \"of\":9, \"role\":\"root\", \"root\":\"data\", \"address\":\"0x7f0000000040\", \"module\":1, "
        "\"offset\":\"0x40\"}\n" SAMPLE_END(18));

    cr_assert_not(process->truncated);
    cr_assert_eq(process->reference_count, 1);
    cr_expect_eq(process->references[0].confidence, CONFIDENCE_IS_MEDIUM);
    cr_expect_eq(process->references[0].surplus, 7);
    cr_expect(process->references[0].interpreter);
    cr_expect_null(process->references[0].unseen);
    cr_assert_eq(process->link_count, 3);
    cr_expect_eq(process->links[0].role, WAY_BLOCK);
    cr_expect_not(process->links[0].placed);
    cr_expect_eq(process->links[1].offset, 0x18);
    cr_expect_str_eq(process->links[1].name, "cache");
    cr_expect_eq(process->links[2].role, WAY_ROOT);
    cr_expect_eq(process->links[2].root, WAY_FROM_DATA);
    cr_expect_eq(process->links[2].of, 9);
}

/* A role that is none, and a root in a module that is not there, are damage. */
Test(load, explanations_that_are_damaged)
{
    static const char *const damaged[] = {
        SAMPLE_HEAD SAMPLE_BODY "{\"why\":1, \"of\":1, \"role\":\"friend\", \"trace\":1, \"kind\":\"reachable\"}\n",
        SAMPLE_HEAD SAMPLE_BODY "{\"why\":1, \"of\":1, \"role\":\"root\", \"root\":\"data\", \"address\":\"0x1\", "
                                "\"module\":7, \"offset\":\"0x1\"}\n",
        SAMPLE_HEAD SAMPLE_BODY "{\"audit\":1, \"trace\":9, \"kind\":\"reachable\", \"objects\":1, \"surplus\":1}\n",
    };

    for (size_t i = 0; i < sizeof(damaged) / sizeof(*damaged); i++) {
        const struct process *process = sample_process(&model, damaged[i]);
        cr_expect(process->truncated);
        cr_expect_eq(process->link_count + process->reference_count, 0);
        model_clear(&model);
    }
}
