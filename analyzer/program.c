/* SPDX-License-Identifier: MIT
 *
 * ELF headers, #! lines and set-user-ID bits, as far as the loader's LD_PRELOAD depends on them. See program.h. */
#include "program.h"

#include "compiler.h"
#include "text.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define SCRIPTS_MAX 5 /* interpreters of interpreters: the kernel gives up at this depth, too */
#define SEGMENTS_MAX 256
#define LINE_MAX_READ 256 /* of a #! line, as the kernel reads it */

static bool is_program(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

char *program_find(const char *command)
{
    if (strchr(command, '/'))
        return strdup(command);
    const char *folders = getenv("PATH");
    if (!folders)
        folders = "/bin:/usr/bin"; /* execvp's own default */
    for (;;) {
        size_t length = strcspn(folders, ":");
        char *path = NULL;
        if (asprintf(&path, "%.*s%s%s", (int)length, folders, length ? "/" : "", command) < 0)
            return NULL;
        if (is_program(path))
            return path;
        free(path);
        if (folders[length] == '\0')
            return NULL;
        folders += length + 1;
    }
}

/* The loader itself has no interpreter either, and takes LD_PRELOAD all the same. */
static bool is_loader(const char *path)
{
    _cleanup_free_ char *real = realpath(path, NULL);
    const char *base = text_base(real ? real : path);
    return strncmp(base, "ld-linux", strlen("ld-linux")) == 0 || strncmp(base, "ld.so", strlen("ld.so")) == 0 ||
           strncmp(base, "ld64.so", strlen("ld64.so")) == 0 || strncmp(base, "ld-musl", strlen("ld-musl")) == 0;
}

/* The shim is made of the C library whose loader this is. */
static const char *loader_obstacle(int fd, const ElfW(Phdr) * segment)
{
    char path[LINE_MAX_READ + 1] = "";
    size_t size = segment->p_filesz < LINE_MAX_READ ? segment->p_filesz : LINE_MAX_READ;

    if (pread(fd, path, size, (off_t)segment->p_offset) != (ssize_t)size)
        return NULL;
    return strstr(path, "/ld-musl-") ? "a program for the musl C library" : NULL;
}

static const char *elf_obstacle(int fd, const ElfW(Ehdr) * header, const char *path)
{
    if (header->e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32))
        return sizeof(void *) == 8 ? "a 32-bit program" : "a 64-bit program";
    ElfW(Ehdr) own;
    _cleanup_close_ int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (self >= 0 && pread(self, &own, sizeof(own), 0) == (ssize_t)sizeof(own) && own.e_machine != header->e_machine)
        return "a program for another processor";
    if (header->e_phentsize != sizeof(ElfW(Phdr)) || header->e_phnum > SEGMENTS_MAX)
        return NULL;
    for (unsigned int i = 0; i < header->e_phnum; i++) {
        ElfW(Phdr) segment;
        off_t where = (off_t)(header->e_phoff + i * sizeof(segment));
        if (pread(fd, &segment, sizeof(segment), where) != (ssize_t)sizeof(segment))
            return NULL;
        if (segment.p_type == PT_INTERP)
            return loader_obstacle(fd, &segment);
    }
    return is_loader(path) ? NULL : "statically linked";
}

/* The program runs with more rights than we have: the loader then ignores LD_PRELOAD (secure execution). */
static const char *rights_obstacle(int fd, const struct stat *status)
{
    if ((status->st_mode & S_ISUID) && status->st_uid != getuid())
        return "set-user-ID";
    if ((status->st_mode & S_ISGID) && (status->st_mode & S_IXGRP) && status->st_gid != getgid())
        return "set-group-ID";
    if (getuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0)
        return "a program with file capabilities";
    return NULL;
}

/* The interpreter in a "#!" line, in place; NULL if there is none. */
static char *script_interpreter(char *line)
{
    line += strspn(line, " \t");
    line[strcspn(line, " \t\r\n")] = '\0';
    return *line ? line : NULL;
}

static const char *obstacle_at(const char *path, unsigned int depth)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    if (fd < 0 || depth >= SCRIPTS_MAX || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return NULL;
    union {
        char text[LINE_MAX_READ + 1];
        ElfW(Ehdr) header;
    } start = {.text = ""};
    ssize_t size = pread(fd, start.text, LINE_MAX_READ, 0);
    if (size > 2 && memcmp(start.text, "#!", 2) == 0) {
        const char *interpreter = script_interpreter(start.text + 2);
        return interpreter ? obstacle_at(interpreter, depth + 1) : NULL;
    }
    if (size < (ssize_t)sizeof(start.header) || memcmp(start.text, ELFMAG, SELFMAG) != 0)
        return NULL;
    const char *obstacle = rights_obstacle(fd, &status);
    return obstacle ? obstacle : elf_obstacle(fd, &start.header, path);
}

const char *program_obstacle(const char *path)
{
    return obstacle_at(path, 0);
}
