/* SPDX-License-Identifier: MIT */
#include "pyframes.h"

#include "fake_python.h"
#include "ledger_fixture.h"

#include <errno.h>
#include <sys/mman.h>

TestSuite(pyframes, .init = fixture_open, .fini = fixture_close);

static const unsigned minors[] = {FAKE_MINORS};
static struct pyframes_thread *thread;

static void begin(unsigned minor, unsigned depth)
{
    fake_open(minor);
    cr_assert_eq(pyframes_init(&fake.api, depth), 0);
    thread = pyframes_thread_new();
    cr_assert_not_null(thread);
}

static uint32_t capture(const void *top)
{
    fake_enter(top);
    return stacks_python(pyframes_capture(thread));
}

/* The stack as text: "name+offset" innermost first, '*' after entries, "cut N" for a cut. */
static const char *show(uint32_t id)
{
    static char text[4096];
    size_t used = 0;

    text[0] = '\0';
    while (id && used < sizeof(text) - 100) {
        const struct ledger_node *node = ledger_entry(LEDGER_NODES, id);
        const struct ledger_code *code = ledger_entry(LEDGER_CODES, (uint32_t)(node->key >> 32));
        if (node->meta & NODE_CUT) {
            used += (size_t)sprintf(text + used, "cut %d ", (int)node->key);
        } else {
            const struct ledger_text *name = ledger_entry(LEDGER_TEXT, code->name);
            used += (size_t)sprintf(text + used, "%.*s+%d%s ", (int)name->length_plus_1 - 1, name->bytes,
                                    (int)(uint32_t)node->key, node->meta & NODE_ENTRY ? "*" : "");
        }
        id = node->parent;
    }
    return text;
}

static void expect(const void *top, const char *expected)
{
    const char *found = show(capture(top));
    cr_expect_str_eq(found, expected, "3.%u: '%s' instead of '%s'", fake.minor, found, expected);
}

Test(pyframes, a_stack_is_read_in_every_version)
{
    for (unsigned i = 0; i < ARRAY_SIZE(minors); i++) {
        begin(minors[i], 64);
        void *module = fake_entered(NULL, fake_code("x.py", "module", 1, "t"), 20);
        void *f = fake_frame(module, fake_code("x.py", "f", 3, "t"), 4);
        void *callback = fake_entered(f, fake_code("x.py", "callback", 5, "t"), 0);
        if (minors[i] <= 10)
            expect(callback, "callback+0* f+4* module+20* ");
        else
            expect(callback, "callback+0* f+4 module+20* ");
        expect(NULL, "");
        cr_expect(pyframes_attached());
    }
}

Test(pyframes, what_does_not_change_is_the_same_node)
{
    for (unsigned i = 0; i < ARRAY_SIZE(minors); i++) {
        begin(minors[i], 64);
        void *code = fake_code("x.py", "f", 3, "t");
        void *bottom = fake_entered(NULL, code, 2), *middle = fake_frame(bottom, code, 4);
        void *top = fake_frame(middle, code, 6);
        uint32_t id = capture(top);
        cr_expect_eq(capture(top), id);
        fake_move(top, 8);
        uint32_t other = capture(top);
        cr_expect_neq(other, id);
        cr_expect_eq(((struct ledger_node *)ledger_entry(LEDGER_NODES, other))->parent,
                     ((struct ledger_node *)ledger_entry(LEDGER_NODES, id))->parent);
        fake_move(top, 6);
        cr_expect_eq(capture(top), id);
        capture(middle);
        capture(bottom);
        cr_expect_eq(capture(top), id);
    }
}

/* A thread that comes by many stacks gets more room for the latest of them (RECENT_MANY_AFTER, RECENT_MOST_AFTER). */
Test(pyframes, many_stacks_keep_their_nodes)
{
    enum { STACKS = 72000 };
    uint32_t *ids = calloc(STACKS, sizeof(*ids));

    for (unsigned i = 0; i < ARRAY_SIZE(minors); i++) {
        begin(minors[i], 64);
        void *code = fake_code("x.py", "f", 3, "t");
        void *bottom = fake_entered(NULL, code, 2), *middle = fake_frame(bottom, code, 4);
        void *top = fake_frame(middle, code, 6);
        for (unsigned round = 0; round < 3; round++) {
            for (unsigned n = 0; n < STACKS; n++) {
                fake_move(middle, (int)n * 2);
                uint32_t id = capture(top);
                cr_assert(id && (round == 0 || ids[n] == id), "3.%u: stack %u", minors[i], n);
                ids[n] = id;
            }
        }
        const struct ledger_node *node = ledger_entry(LEDGER_NODES, ids[STACKS - 1]);
        cr_expect_eq((uint32_t)((const struct ledger_node *)ledger_entry(LEDGER_NODES, node->parent))->key,
                     (STACKS - 1) * 2);
    }
    free(ids);
}

/* Everything is made again at the same addresses, and differs only far below. */
Test(pyframes, frames_that_look_alike_are_not_mistaken)
{
    for (unsigned i = 0; i < ARRAY_SIZE(minors); i++) {
        begin(minors[i], 64);
        void *f = fake_code("x.py", "f", 3, "t"), *g = fake_code("x.py", "g", 3, "t");
        void *bottom = fake_entered(NULL, f, 2), *middle = fake_frame(bottom, f, 4), *top = fake_frame(middle, f, 6);
        const char *star = minors[i] <= 10 ? "*" : "";
        char expected[100];

        capture(top);
        fake_move(middle, 10);
        sprintf(expected, "f+6%s f+10%s f+2* ", star, star);
        expect(top, expected);
        fake_move(bottom, 12);
        sprintf(expected, "f+6%s f+10%s f+12* ", star, star);
        expect(top, expected);
        fake_fill_frame(middle, bottom, g, 10);
        sprintf(expected, "f+6%s g+10%s f+12* ", star, star);
        expect(top, expected);
        void *between = fake_frame(bottom, g, 0);
        fake_put(middle, fake.compat.frame_back, (uintptr_t)between);
        sprintf(expected, "f+6%s g+10%s g+0%s f+12* ", star, star, star);
        expect(top, expected);
        fake_put(top, fake.compat.frame_back, (uintptr_t)bottom);
        sprintf(expected, "f+6%s f+12* ", star);
        expect(top, expected);
        fake_put(bottom, fake.compat.frame_back, (uintptr_t)fake_entry(fake_entered(NULL, g, 30)));
        sprintf(expected, "f+6%s f+12* g+30* ", star);
        expect(top, expected);
    }
}

Test(pyframes, entry_of_3_11_is_looked_at_each_time)
{
    begin(11, 64);
    void *f = fake_code("x.py", "f", 3, "t"), *bottom = fake_entered(NULL, f, 2);
    uint8_t *top = fake_frame(bottom, f, 6);
    expect(top, "f+6 f+2* ");
    top[fake.compat.frame_entry] = 1;
    expect(top, "f+6* f+2* ");
}

#define CLOSE 14u /* frames that lie on two pages, and so can be compared several at a time */

static void *close_frames[CLOSE];

static void begin_close(unsigned minor, uint8_t *pages, void *code)
{
    for (unsigned i = 0; i < CLOSE; i++) {
        close_frames[i] = pages + i * FAKE_OBJECT;
        fake_fill_frame(close_frames[i], i ? close_frames[i - 1] : fake_entry(NULL), code, 2 * i);
        if (i == 0 && minor == 11)
            pages[fake.compat.frame_entry] = 1;
    }
}

/* Changes frame `i` in one of three ways. */
static void change_close(unsigned i, unsigned way, void *between)
{
    uint8_t *frame = close_frames[i];

    if (way == 0)
        fake_move(frame, 100);
    else if (way == 1)
        fake_put(frame, fake.compat.frame_back, (uintptr_t)between);
    else if (fake.compat.frame_entry)
        frame[fake.compat.frame_entry] ^= 1;
}

Test(pyframes, each_of_many_frames_that_lie_together_is_compared)
{
    uint8_t *pages = aligned_alloc(4096, CLOSE * FAKE_OBJECT + 4096 - CLOSE * FAKE_OBJECT % 4096);

    for (unsigned n = 0; n < ARRAY_SIZE(minors); n++) {
        begin(minors[n], 64);
        struct pyframes_thread *known = thread, *other = pyframes_thread_new();
        void *code = fake_code("x.py", "f", 3, "t"), *top, *between = fake_entered(NULL, code, 7);
        begin_close(minors[n], pages, code);
        top = close_frames[CLOSE - 1];
        for (unsigned i = 0; i < CLOSE; i++) {
            for (unsigned way = 0; way < 3; way++) {
                begin_close(minors[n], pages, code);
                uint32_t before = capture(top);
                change_close(i, way, between);
                uint32_t after = capture(top);
                thread = other;
                pyframes_thread_reset(thread);
                uint32_t right = capture(top);
                thread = known;
                cr_expect_eq(after, right, "3.%u: change %u of frame %u", minors[n], way, i);
                cr_expect(before != after || way == 2, "3.%u: frame %u", minors[n], i);
            }
        }
    }
    free(pages);
}

Test(pyframes, no_frame_is_read_whose_page_is_not_known_to_be_there)
{
    for (unsigned n = 0; n < ARRAY_SIZE(minors); n++) {
        begin(minors[n], 64);
        uint8_t *here = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
                *there = here + 4096;
        void *code = fake_code("x.py", "f", 3, "t"), *bottom = here, *top = bottom;
        fake_fill_frame(bottom, fake_entry(NULL), code, 2);
        for (unsigned i = 0; i < 2; top = there + i++ * FAKE_OBJECT)
            fake_fill_frame(there + i * FAKE_OBJECT, top, code, 4);
        for (unsigned i = 1; i < 8; top = here + i++ * FAKE_OBJECT)
            fake_fill_frame(here + i * FAKE_OBJECT, top, code, 6);
        uint32_t before = capture(top);
        cr_expect_neq(before, 0);
        cr_expect_eq(capture(top), before);
        fake_put(here + FAKE_OBJECT, fake.compat.frame_back, (uintptr_t)bottom);
        munmap(there, 4096);
        cr_expect_neq(capture(top), before);
        munmap(here, 4096);
    }
}

Test(pyframes, code_that_was_freed_is_read_again)
{
    for (unsigned i = 0; i < ARRAY_SIZE(minors); i++) {
        begin(minors[i], 64);
        void *file = fake_text("x.py"), *code = fake_code("x.py", "f", 3, "t");
        void *top = fake_entered(NULL, code, 2);
        void (*dealloc)(void *);

        expect(top, "f+2* ");
        memcpy(&dealloc, (uint8_t *)fake_type(FAKE_CODE) + 48, sizeof(dealloc));
        dealloc(code);
        cr_expect_eq(fake.deallocated, 1);
        fake_fill_code(code, file, "g", 3, "t");
        expect(top, "g+2* ");
    }
}

Test(pyframes, a_frame_that_has_not_begun)
{
    for (unsigned i = 0; i < ARRAY_SIZE(minors); i++) {
        begin(minors[i], 64);
        void *top = fake_entered(NULL, fake_code("x.py", "f", 3, "t"), NODE_NOT_BEGUN);
        expect(top, "f+-1* ");
    }
}

Test(pyframes, deep_stacks_are_cut_at_the_root)
{
    for (unsigned i = 0; i < ARRAY_SIZE(minors); i++) {
        void *frames[12];

        begin(minors[i], 3);
        void *code = fake_code("x.py", "f", 3, "t");
        for (unsigned n = 0; n < ARRAY_SIZE(frames); n++) /* each one an entry, so that C entries are among the cut */
            frames[n] = fake_entered(n ? frames[n - 1] : NULL, code, n * 2);
        expect(frames[2], "f+4* f+2* f+0* ");
        expect(frames[3], "f+6* f+4* f+2* cut 1 ");
        expect(frames[11], "f+22* f+20* f+18* cut 9 ");
        expect(frames[11], "f+22* f+20* f+18* cut 9 ");
        expect(frames[10], "f+20* f+18* f+16* cut 8 ");
        fake_move(frames[0], 100);
        expect(frames[3], "f+6* f+4* f+2* cut 1 ");
        expect(frames[2], "f+4* f+2* f+100* ");
        expect(frames[0], "f+100* ");
    }
}

Test(pyframes, c_entries_below_the_cut_come_and_go)
{
    begin(12, 2);
    void *f = fake_code("x.py", "f", 3, "t"), *bottom = fake_entered(NULL, f, 2);
    void *two = fake_frame(bottom, f, 4), *three = fake_frame(two, f, 6), *four = fake_frame(three, f, 8);
    expect(four, "f+8 f+6 cut 2 ");
    void *other = fake_entered(bottom, f, 4), *another = fake_entered(other, f, 6);
    expect(fake_frame(another, f, 8), "f+8 f+6* cut 2 ");
    expect(four, "f+8 f+6 cut 2 ");
}

Test(pyframes, of_very_deep_stacks_the_number_cut_is_not_known)
{
    begin(12, 3);
    void *code = fake_code("x.py", "f", 3, "t"), *frame = NULL, *at_1000 = NULL, *at_3 = NULL;
    for (unsigned n = 0; n < 5000; n++) {
        frame = fake_frame(frame ? frame : fake_entry(NULL), code, n * 2);
        if (n == 3)
            at_3 = frame;
        if (n == 999)
            at_1000 = frame;
    }
    expect(frame, "f+9998 f+9996 f+9994 cut 0 ");
    expect(frame, "f+9998 f+9996 f+9994 cut 0 ");
    expect(at_3, "f+6 f+4 f+2 cut 1 ");
    expect(at_1000, "f+1998 f+1996 f+1994 cut 997 ");
    expect(frame, "f+9998 f+9996 f+9994 cut 0 ");
}

Test(pyframes, internal_frames_are_left_out)
{
    begin(13, 3);
    void *f = fake_code("x.py", "f", 3, "t"), *shim = fake_code("", "__init__", 0, "");
    fake_put(shim, fake.compat.code_file, pycompat_load((uintptr_t)shim, fake.compat.code_name));
    void *bottom = fake_entered(NULL, f, 2), *middle = fake_frame(bottom, f, 4);
    void *between = fake_frame(middle, shim, 0), *top = fake_frame(between, f, 6);
    expect(top, "f+6 f+4 f+2* ");
    fake_fill_frame(between, middle, f, 0); /* now one of the program's */
    expect(top, "f+6 f+0 f+4 cut 1 ");
    fake_fill_frame(between, middle, shim, 0);
    expect(top, "f+6 f+4 f+2* ");
}

Test(pyframes, what_is_not_as_expected_is_not_followed)
{
    for (unsigned i = 0; i < ARRAY_SIZE(minors); i++) {
        begin(minors[i], 64);
        void *f = fake_code("x.py", "f", 3, "t"), *bottom = fake_entered(NULL, f, 2);
        void *top = fake_frame(bottom, f, 4);
        cr_expect_neq(capture(top), 0);
        fake_put(top, fake.compat.frame_back, 0xdddddddddddddddd);
        cr_expect_eq(capture(top), 0, "freed memory of a debug build");
        fake_put(top, fake.compat.frame_back, (uintptr_t)bottom + 4);
        cr_expect_eq(capture(top), 0, "misaligned");
        fake_put(top, fake.compat.frame_back, (uintptr_t)top);
        cr_expect_eq(show(capture(top))[0], 'f', "a ring ends");
        fake_fill_frame(top, bottom, fake_text("no code"), 4);
        cr_expect_eq(capture(top), 0, "no code object");
        fake_fill_frame(top, bottom, f, 4);
        cr_expect_neq(capture(top), 0);
        cr_expect_eq(capture((void *)8), 0);
    }
}

Test(pyframes, only_the_own_thread_state_counts)
{
    for (unsigned i = 0; i < ARRAY_SIZE(minors); i++) {
        begin(minors[i], 64);
        void *top = fake_entered(NULL, fake_code("x.py", "f", 3, "t"), 2);
        fake_enter(top);
        fake_put(fake.state, fake.compat.thread_id, 12345);
        cr_expect_eq(stacks_python(pyframes_capture(thread)), 0);
        /* Since 3.12 the current one is the thread's own by where it is kept: it runs what another one has made. */
        cr_expect_eq(pyframes_attached(), !fake.compat.runtime_thread);
        fake_enter(top);
        cr_expect_neq(stacks_python(pyframes_capture(thread)), 0);
        fake.current = NULL;
        if (fake.compat.runtime_thread)
            fake_put(fake.runtime, fake.compat.runtime_thread, 0);
        cr_expect_eq(stacks_python(pyframes_capture(thread)), 0);
        cr_expect_not(pyframes_attached());
    }
}

Test(pyframes, an_unknown_interpreter_has_no_stacks)
{
    begin(12, 64);
    void *top = fake_entered(NULL, fake_code("x.py", "f", 3, "t"), 2);
    fake_enter(top);
    fake.api.hex = 0x031100f0;
    cr_expect_eq(pyframes_init(&fake.api, 64), -ENOTSUP);
    cr_expect(ledger_header->lacks & LACK_PYTHON_UNKNOWN);
    cr_expect_eq(stacks_python(pyframes_capture(thread)), 0);
    cr_expect_not(pyframes_attached());
}

Test(pyframes, the_program_begins_with_its_module)
{
    begin(12, 1);
    void *start = fake_entered(NULL, fake_code("<frozen importlib._bootstrap>", "_find_and_load", 1, "t"), 2);
    capture(fake_frame(start, fake_code("site.py", "<module>", 1, "t"), 2));
    cr_expect_not(pyframes_program_started());
    void *module = fake_entered(NULL, fake_code("x.py", "<module>", 1, "t"), 2);
    capture(fake_frame(module, fake_code("x.py", "f", 1, "t"), 2));
    cr_expect(pyframes_program_started(), "although the root is beyond the depth");
}

Test(pyframes, a_reset_writes_everything_into_the_new_ledger)
{
    begin(10, 64);
    void *top = fake_entered(NULL, fake_code("x.py", "f", 3, "t"), 2);
    capture(top);
    fixture_close();
    fixture_open();
    pyframes_reset();
    expect(top, "f+2* ");
    pyframes_thread_reset(thread);
    expect(top, "f+2* ");
}
