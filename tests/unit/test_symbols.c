/* SPDX-License-Identifier: MIT */
#include "symbols.h"

#include "demangle.h"
#include "own_module.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/stat.h>

static struct symbols *symbols;
static struct own_module own;
static const struct symbol *found;

static void set_up(void)
{
    symbols = symbols_new(false);
    cr_assert(symbols);
    own_module_init(&own);
}

static void tear_down(void)
{
    symbols_free(symbols);
}

TestSuite(symbols, .init = set_up, .fini = tear_down);

/* Something to find, with a function inlined into it; both must be kept as they are. */
static inline __attribute__((always_inline)) int inlined_callee(volatile int *p)
{
    return *p * 3;
}

__attribute__((noinline, noclone)) int symbols_marker(volatile int *p);
int symbols_marker(volatile int *p)
{
    return inlined_callee(p) + 1;
}

Test(symbols, a_function_of_this_program)
{
    size_t count = symbols_find(symbols, &own.module, OWN_ADDRESS(&own, symbols_marker), &found);
    const struct symbol *again;

    cr_assert_geq(count, 1);
    cr_expect_str_eq(found[count - 1].function, "symbols_marker");
    cr_expect(!symbols_stale(symbols, &own.module));
    if (found[count - 1].file) { /* only with debug information */
        cr_expect(strstr(found[count - 1].file, "test_symbols.c"));
        cr_expect_gt(found[count - 1].line, 0);
    }
    cr_expect_eq(symbols_find(symbols, &own.module, OWN_ADDRESS(&own, symbols_marker), &again), count);
    cr_expect_eq(again, found, "the second time from the cache");
}

Test(symbols, inlined_functions_come_first)
{
    bool seen = false, any = false;

    for (uint64_t offset = 0; offset < 16; offset++) {
        size_t count = symbols_find(symbols, &own.module, OWN_ADDRESS(&own, symbols_marker) + offset, &found);

        any |= count && found[0].file;
        if (count != 2)
            continue;
        seen = true;
        cr_expect_str_eq(found[0].function, "inlined_callee");
        cr_expect_str_eq(found[1].function, "symbols_marker");
        cr_expect_gt(found[1].line, found[0].line, "the call stands below the callee in this file");
    }
    if (!any)
        cr_skip_test("no debug information in this build");
    cr_expect(seen);
}

Test(symbols, another_build_id_is_stale_and_has_no_names)
{
    struct module other = own.module;

    other.build_id = "0123456789abcdef0123456789abcdef01234567";
    cr_expect_eq(symbols_find(symbols, &other, OWN_ADDRESS(&own, symbols_marker), &found), 0);
    cr_expect(symbols_stale(symbols, &other));
    cr_expect(!symbols_stale(symbols, &own.module), "the right one is not affected");
}

Test(symbols, no_build_id_does_not_match_one)
{
    struct module other = own.module;

    if (!own.module.build_id)
        cr_skip_test("this program has no build-id");
    other.build_id = NULL;
    cr_expect_eq(symbols_find(symbols, &other, OWN_ADDRESS(&own, symbols_marker), &found), 0);
    cr_expect(symbols_stale(symbols, &other));
}

Test(symbols, files_that_are_not_there_or_no_elf_files)
{
    static const char *const paths[] = {"/nonexistent/libx.so", "/", "/dev/zero", "/etc/passwd", "linux-vdso.so.1", ""};

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct module module = {.path = paths[i]};

        cr_expect_eq(symbols_find(symbols, &module, 0x1000, &found), 0, "%s", paths[i]);
        cr_expect(!symbols_stale(symbols, &module));
    }
    cr_expect_eq(symbols_find(symbols, &(struct module){0}, 0x1000, &found), 0);
}

Test(symbols, a_pipe_is_not_waited_for)
{
    char path[] = "/tmp/memshim-symbols-XXXXXX";
    struct module module = {.path = path};

    cr_assert(mkdtemp(path));
    cr_assert_eq(rmdir(path), 0);
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_expect_eq(symbols_find(symbols, &module, 0x1000, &found), 0);
    unlink(path);
}

Test(symbols, addresses_outside_the_file)
{
    cr_expect_eq(symbols_find(symbols, &own.module, 0, &found), 0);
    cr_expect_eq(symbols_find(symbols, &own.module, UINT64_MAX, &found), 0);
    cr_expect_eq(symbols_find(symbols, &own.module, (uint64_t)1 << 40, &found), 0);
}

/* In a stripped file a function without a symbol must not get the name of the one before it. */
Test(symbols, a_stripped_file_has_no_wrong_names)
{
    char path[] = "/tmp/memshim-symbols-XXXXXX", command[8400];
    struct module module = own.module;
    int fd = mkstemp(path);

    cr_assert(fd >= 0);
    close(fd);
    snprintf(command, sizeof(command), "strip -o %s '%s' 2>/dev/null", path, own.path);
    if (system(command) != 0) {
        unlink(path);
        cr_skip_test("no strip here");
    }
    module.path = path;
    if (symbols_find(symbols, &module, OWN_ADDRESS(&own, symbols_marker), &found))
        cr_expect_str_eq(found[0].function, "symbols_marker", "named %s", found[0].function);
    cr_expect(!symbols_stale(symbols, &module), "the build-id is still the same");
    unlink(path);
}

Test(symbols, without_leave_no_server_is_asked)
{
    setenv("DEBUGINFOD_URLS", "http://localhost:1", 1);
    symbols_free(symbols_new(true));
    cr_expect(getenv("DEBUGINFOD_URLS"));
    symbols_free(symbols_new(false));
    cr_expect(!getenv("DEBUGINFOD_URLS"));
}

static void release_flag(void *data)
{
    *(bool *)data = true;
}

Test(symbols, what_is_attached_is_released)
{
    struct symbols *other = symbols_new(false);
    bool released = false;

    *symbols_attachment(other, release_flag) = &released;
    symbols_free(other);
    cr_expect(released);
    symbols_free(NULL);
}

static void expect_demangled(const char *name, const char *wanted)
{
    char *readable = demangle(name);

    if (!readable)
        cr_skip_test("no libstdc++ here");
    cr_expect_str_eq(readable, wanted);
    free(readable);
}

Test(symbols, names_of_other_languages)
{
    cr_expect_null(demangle("main"));
    cr_expect_null(demangle("_Z"));
    cr_expect_null(demangle(""));
    expect_demangled("_ZN3foo3barEi", "foo::bar(int)");
    expect_demangled("_ZN5alloc3vec3new17h0123456789abcdefE", "alloc::vec::new");
    expect_demangled("_ZN5alloc3vec3new17h0123456789abcdeXE", "alloc::vec::new::h0123456789abcdeX");
}

#if defined(__x86_64__)
/* What is found for the address that an exported function of the stripped library returns; NULL = nothing. */
static const char *name_in_stripped(void *library, const char *function)
{
    static struct module module = {.path = (char *)COLD_PART};
    const void *(*call)(int);
    Dl_info info;

    *(void **)&call = dlsym(library, function);
    cr_assert(call, "%s", dlerror());
    const void *address = call(20);
    cr_assert(address && dladdr(address, &info));
    size_t count =
        symbols_find(symbols, &module, (uint64_t)((const char *)address - (const char *)info.dli_fbase), &found);
    return count ? found[count - 1].function : NULL;
}

/* The parts that the compiler moved away are named by their functions; what has no name keeps none. */
Test(symbols, moved_parts_of_functions_in_a_stripped_file)
{
    void *library = dlopen(COLD_PART, RTLD_NOW | RTLD_LOCAL);

    cr_assert(library, "%s", dlerror());
    for (int i = 0; i < 2; i++) {
        cr_expect_str_eq(name_in_stripped(library, "cold_part_of_first"), "cold_part_of_first");
        cr_expect_str_eq(name_in_stripped(library, "cold_part_of_second"), "cold_part_of_second");
        cr_expect_null(name_in_stripped(library, "nameless_function"));
    }
    dlclose(library);
}
#endif
