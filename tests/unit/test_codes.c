/* SPDX-License-Identifier: MIT */
#include "codes.h"

#include "fake_python.h"
#include "ledger_fixture.h"

TestSuite(codes, .init = fixture_open, .fini = fixture_close);

static uint32_t id_of(const void *code)
{
    return codes_id(&fake.compat, (uintptr_t)code);
}

static bool text_is(uint32_t ref, const char *expected)
{
    const struct ledger_text *text = ref ? ledger_entry(LEDGER_TEXT, ref) : NULL;
    return text && text->length_plus_1 == strlen(expected) + 1 && memcmp(text->bytes, expected, strlen(expected)) == 0;
}

Test(codes, an_entry_describes_the_code)
{
    fake_open(11);
    void *code = fake_code("dir/x.py", "f", 42, "table");
    uint32_t id = id_of(code);
    cr_assert_neq(id, 0);
    const struct ledger_code *entry = ledger_entry(LEDGER_CODES, id);
    cr_expect_eq(entry->used, 1);
    cr_expect_eq(entry->address, (uintptr_t)code);
    cr_expect_eq(entry->first_line, 42);
    cr_expect(text_is(entry->file, "dir/x.py"));
    cr_expect(text_is(entry->name, "f"));
    cr_expect(text_is(entry->qualname, "Class.f"));
    cr_expect(text_is(entry->table, "table"));
    cr_expect_eq(entry->table_kind, CODE_LOCATIONS_311);
    cr_expect_eq(id_of(code), id);
}

Test(codes, up_to_3_10_there_is_no_qualified_name)
{
    fake_open(9);
    const struct ledger_code *entry = ledger_entry(LEDGER_CODES, id_of(fake_code("x.py", "f", 1, "t")));
    cr_expect_eq(entry->qualname, 0);
    cr_expect_eq(entry->table_kind, CODE_LNOTAB);
}

Test(codes, equal_code_is_stored_once)
{
    fake_open(12);
    uint32_t id = id_of(fake_code("x.py", "f", 1, "t"));
    cr_expect_eq(id_of(fake_code("x.py", "f", 1, "t")), id);
    cr_expect_neq(id_of(fake_code("y.py", "f", 1, "t")), id);
    cr_expect_neq(id_of(fake_code("x.py", "g", 1, "t")), id);
    cr_expect_neq(id_of(fake_code("x.py", "f", 2, "t")), id);
    cr_expect_neq(id_of(fake_code("x.py", "f", 1, "u")), id);
}

Test(codes, what_is_no_code_has_no_id)
{
    fake_open(12);
    cr_expect_eq(id_of(NULL), 0);
    cr_expect_eq(id_of(fake_text("x")), 0);
    cr_expect_eq(id_of((void *)0xdddddddddddddddd), 0);
}

Test(codes, parts_that_cannot_be_read_are_left_out)
{
    fake_open(12);
    void *code = fake_code("x.py", "f", 1, "t");
    fake_put(code, fake.compat.code_file, 0);
    fake_put(code, fake.compat.code_table, (uintptr_t)fake_text("not bytes"));
    const struct ledger_code *entry = ledger_entry(LEDGER_CODES, id_of(code));
    cr_expect_eq(entry->file, 0);
    cr_expect_eq(entry->table, 0);
    cr_expect(text_is(entry->name, "f"));
}

Test(codes, internal_code_is_told)
{
    fake_open(13);
    void *code = fake_code("x", "__init__", 1, "t");
    fake_put(code, fake.compat.code_file, pycompat_load((uintptr_t)code, fake.compat.code_name));
    cr_expect_eq(id_of(code), CODES_INTERNAL);
    code = fake_code("__init__", "__init__", 1, "t");
    cr_expect_neq(id_of(code), CODES_INTERNAL, "two strings");
    code = fake_code("x", "f", 1, "t");
    fake_put(code, fake.compat.code_file, pycompat_load((uintptr_t)code, fake.compat.code_name));
    cr_expect_neq(id_of(code), CODES_INTERNAL, "another name");
}

Test(codes, forgotten_code_is_read_again)
{
    fake_open(10);
    void *file = fake_text("x.py"), *code = fake_code("x.py", "f", 1, "t");
    uint32_t id = id_of(code), generation = codes_generation;
    codes_forget((uintptr_t)code + 16);
    cr_expect_eq(codes_generation, generation, "not known");
    codes_forget((uintptr_t)code);
    cr_expect_neq(codes_generation, generation);
    fake_fill_code(code, file, "g", 1, "t");
    uint32_t other = id_of(code);
    cr_expect_neq(other, id);
    cr_expect(text_is(((const struct ledger_code *)ledger_entry(LEDGER_CODES, other))->name, "g"));
}

Test(codes, a_free_that_was_missed_is_noticed)
{
    fake_open(10);
    void *file = fake_text("x.py"), *code = fake_code("x.py", "f", 1, "t");
    uint32_t id = id_of(code);
    fake_fill_code(code, file, "g", 1, "t");
    cr_expect_neq(id_of(code), id);
}

Test(codes, dealloc_of_the_type_is_watched)
{
    fake_open(8);
    cr_assert_eq(codes_watch(&fake.compat), 0);
    cr_assert_eq(codes_watch(&fake.compat), 0, "again");
    void *code = fake_code("x.py", "f", 1, "t");
    id_of(code);
    uint32_t generation = codes_generation;
    void (*dealloc)(void *);
    memcpy(&dealloc, (uint8_t *)fake_type(FAKE_CODE) + 48, sizeof(dealloc));
    dealloc(code);
    cr_expect_eq(fake.deallocated, 1);
    cr_expect_neq(codes_generation, generation);
    dealloc(code); /* a code object that no stack had */
    cr_expect_eq(fake.deallocated, 2);
}

/* Insertion and removal in random order, against a plain array. */
Test(codes, thousands_come_and_go)
{
    enum { COUNT = 6000, ROUNDS = 60000 };
    static void *codes[COUNT];
    static uint32_t ids[COUNT];
    static bool known[COUNT];
    uint32_t seed = 1;
    char name[16];

    fake_open(12);
    void *file = fake_text("x.py");
    for (int i = 0; i < COUNT; i++) {
        codes[i] = fake_object(FAKE_CODE, FAKE_OBJECT);
        snprintf(name, sizeof(name), "f%d", i);
        fake_fill_code(codes[i], file, name, i, "t");
    }
    for (int i = 0; i < ROUNDS; i++) {
        unsigned which = (seed = seed * 1664525 + 1013904223) >> 8, at = which % COUNT;
        if (which & 0x100000) {
            uint32_t generation = codes_generation;
            codes_forget((uintptr_t)codes[at]);
            cr_assert_eq(codes_generation != generation, known[at]);
            known[at] = false;
        } else {
            uint32_t id = id_of(codes[at]);
            cr_assert(id && (!ids[at] || ids[at] == id));
            ids[at] = id;
            known[at] = true;
        }
    }
    for (int i = 0; i < COUNT; i++)
        cr_assert(!ids[i] || id_of(codes[i]) == ids[i]);
}

Test(codes, the_programs_beginning)
{
    static const struct {
        const char *file, *name;
        bool begins;
    } cases[] = {
        {"x.py", "<module>", true},
        {"<string>", "<module>", true},
        {"<frozen getpath>", "<module>", false},
        {"<frozen importlib._bootstrap>", "_find_and_load", false},
        {"<frozen runpy>", "_run_module_as_main", true},
        {"/usr/lib/python3.9/runpy.py", "_run_module_as_main", true},
        {"x.py", "f", false},
    };

    fake_open(12);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
        cr_expect_eq(codes_begins_program(id_of(fake_code(cases[i].file, cases[i].name, 1, "t"))), cases[i].begins,
                     "%s in %s", cases[i].name, cases[i].file);
}
