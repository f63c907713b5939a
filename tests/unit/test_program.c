/* SPDX-License-Identifier: MIT */
#include "program.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/memshim-program-XXXXXX";

static void enter(void)
{
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
}

static void leave(void)
{
    unlink("x");
    unlink("y");
    cr_expect_eq(rmdir(folder), 0);
}

TestSuite(program, .init = enter, .fini = leave);

static void put(const char *path, const void *bytes, size_t size)
{
    FILE *out = fopen(path, "w");
    fwrite(bytes, 1, size, out);
    fclose(out);
    chmod(path, 0755);
}

/* An ELF header with one segment of this type. */
static void put_elf(const char *path, int class, uint32_t segment)
{
    struct {
        Elf64_Ehdr header;
        Elf64_Phdr segment;
    } file = {.header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, (unsigned char)class, ELFDATA2LSB},
                         .e_type = ET_EXEC,
                         .e_phoff = sizeof(Elf64_Ehdr),
                         .e_phentsize = sizeof(Elf64_Phdr),
                         .e_phnum = 1},
              .segment = {.p_type = segment}};
    Elf64_Ehdr own;
    FILE *self = fopen("/proc/self/exe", "r");
    cr_assert_eq(fread(&own, sizeof(own), 1, self), 1);
    fclose(self);
    file.header.e_machine = own.e_machine;
    put(path, &file, sizeof(file));
}

Test(program, ordinary_programs_have_no_obstacle)
{
    cr_expect_null(program_obstacle("/bin/sh"));
    cr_expect_null(program_obstacle("/proc/self/exe"));
    put_elf("x", ELFCLASS64, PT_INTERP);
    cr_expect_null(program_obstacle("x"));
}

Test(program, static_ones_do)
{
    put_elf("x", ELFCLASS64, PT_LOAD);
    cr_expect_str_eq(program_obstacle("x"), "statically linked");
}

Test(program, the_other_word_size_does)
{
    put_elf("x", ELFCLASS32, PT_INTERP);
    cr_expect_str_eq(program_obstacle("x"), "a 32-bit program");
}

Test(program, another_c_library_does)
{
    struct {
        Elf64_Ehdr header;
        Elf64_Phdr segment;
        char loader[32];
    } file;
    FILE *in;

    put_elf("x", ELFCLASS64, PT_INTERP);
    in = fopen("x", "r");
    cr_assert_eq(fread(&file, sizeof(file.header) + sizeof(file.segment), 1, in), 1);
    fclose(in);
    file.segment.p_offset = offsetof(typeof(file), loader);
    file.segment.p_filesz = sizeof(file.loader);
    strncpy(file.loader, "/lib/ld-musl-x86_64.so.1", sizeof(file.loader));
    put("x", &file, sizeof(file));
    cr_expect_str_eq(program_obstacle("x"), "a program for the musl C library");
    strncpy(file.loader, "/lib64/ld-linux-x86-64.so.2", sizeof(file.loader));
    put("x", &file, sizeof(file));
    cr_expect_null(program_obstacle("x"));
}

Test(program, other_users_rights_do)
{
    if (getuid() != 0)
        cr_skip_test("only root can give files away");
    put_elf("x", ELFCLASS64, PT_INTERP);
    cr_assert_eq(chmod("x", 04755), 0);
    cr_expect_null(program_obstacle("x"), "our own rights are no more than we have");
    cr_assert_eq(chown("x", 1, 1), 0);
    cr_assert_eq(chmod("x", 04755), 0);
    cr_expect_str_eq(program_obstacle("x"), "set-user-ID");
    cr_assert_eq(chmod("x", 02755), 0);
    cr_expect_str_eq(program_obstacle("x"), "set-group-ID");
}

Test(program, scripts_are_judged_by_their_interpreter)
{
    char line[256];
    put_elf("x", ELFCLASS64, PT_LOAD);
    snprintf(line, sizeof(line), "#! %s/x -a b\nmore\n", folder);
    put("y", line, strlen(line));
    cr_expect_str_eq(program_obstacle("y"), "statically linked");
    put("y", "#!/bin/sh\n", 10);
    cr_expect_null(program_obstacle("y"));
}

Test(program, what_is_nothing_is_left_to_execve)
{
    cr_expect_null(program_obstacle("nonexistent"));
    cr_expect_null(program_obstacle("/"));
    put("x", "", 0);
    cr_expect_null(program_obstacle("x"));
    put("x", "#!", 2);
    cr_expect_null(program_obstacle("x"));
    put("x", "#!  \n", 5);
    cr_expect_null(program_obstacle("x"));
    put("x", ELFMAG, SELFMAG);
    cr_expect_null(program_obstacle("x"));
    char line[64];
    snprintf(line, sizeof(line), "#!%s/x\n", folder);
    put("x", line, strlen(line)); /* its own interpreter */
    cr_expect_null(program_obstacle("x"));
}

Test(program, commands_are_found_as_execvp_finds_them)
{
    char *path = program_find("sh");
    cr_assert_not_null(path);
    cr_expect_eq(access(path, X_OK), 0);
    free(path);
    cr_expect_null(program_find("no-such-command-anywhere"));
    put("x", "#!/bin/sh\n", 10);
    setenv("PATH", "/nonexistent:", 1); /* an empty piece is the current folder */
    path = program_find("x");
    cr_expect_str_eq(path, "x");
    free(path);
    path = program_find("./y");
    cr_expect_str_eq(path, "./y", "with a slash nothing is looked for");
    free(path);
}
