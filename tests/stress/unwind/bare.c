/* SPDX-License-Identifier: MIT
 *
 * Code without unwind information: as a just-in-time compiler makes it, with and without frame pointers, and assembly that
 * tells nothing of itself. */
#include "stress.h"

#include <string.h>
#include <sys/mman.h>

#if defined(__x86_64__)
static noinline void from_nowhere(void)
{
    capture();
    capture_some();
    KEEP_FRAME();
}

static noinline void from_nowhere_deeper(void)
{
    calls_plain(5, 1);
    KEEP_FRAME();
}

typedef void (*callback)(void);

/* void NAME(callback): calls it, in a frame that no table describes. */
#define ASSEMBLY(name, code) \
    void name(callback function); \
    __asm__(".text\n.type " #name ", @function\n" #name ":\n" code "\n.size " #name ", . - " #name "\n")

ASSEMBLY(assembly_framed, "push %rbp\nmov %rsp, %rbp\ncall *%rdi\npop %rbp\nret");
ASSEMBLY(assembly_frameless, "sub $24, %rsp\ncall *%rdi\nadd $24, %rsp\nret");
ASSEMBLY(assembly_saves, "push %rbx\npush %r12\npush %r13\ncall *%rdi\npop %r13\npop %r12\npop %rbx\nret");
/* The frame pointer is some number, or points far away. */
ASSEMBLY(assembly_number, "push %rbp\nmov $12345, %ebp\ncall *%rdi\npop %rbp\nret");
ASSEMBLY(assembly_far, "push %rbp\nlea 0x3000(%rsp), %rbp\ncall *%rdi\npop %rbp\nret");
/* A frame that realigns the stack. */
ASSEMBLY(assembly_aligned, "push %rbp\nmov %rsp, %rbp\nand $-64, %rsp\nsub $64, %rsp\ncall *%rdi\nleave\nret");

static void call_with(void (*function)(callback))
{
    function(from_nowhere);
    capture();
    function(from_nowhere_deeper);
    capture();
}

static void test_assembly(void)
{
    static void (*const functions[])(callback) = {assembly_framed, assembly_frameless, assembly_saves,
                                                  assembly_number, assembly_far,       assembly_aligned};

    for (unsigned i = 0; i < rounds; i++)
        for (size_t f = 0; f < sizeof(functions) / sizeof(*functions); f++)
            call_with(functions[f]);
}

static void test_made_code(const uint8_t *bytes, size_t size)
{
    uint8_t *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (code == MAP_FAILED)
        return;
    for (unsigned i = 0; i < rounds; i++) {
        uint8_t *at = code + chance(4000);
        memcpy(at, bytes, size);
        call_with((void (*)(callback))(void *)at);
    }
    munmap(code, 4096);
}

void test_bare_code(void)
{
    static const uint8_t framed[] = {0x55, 0x48, 0x89, 0xe5,
                                     0xff, 0xd7, 0x5d, 0xc3}; /* push rbp; mov; call rdi; pop; ret */
    static const uint8_t roomy[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x40, 0xff, 0xd7, 0xc9, 0xc3};
    static const uint8_t frameless[] = {0x48, 0x83, 0xec, 0x08, 0xff, 0xd7, 0x48, 0x83, 0xc4, 0x08, 0xc3};

    test_made_code(framed, sizeof(framed));
    test_made_code(roomy, sizeof(roomy));
    test_made_code(frameless, sizeof(frameless));
    test_assembly();
}
#else
void test_bare_code(void)
{
}
#endif
