/* SPDX-License-Identifier: MIT
 *
 * Forbids itself system calls (argument 1 says which), with EPERM, and goes on allocating. What a C library needs for malloc, free,
 * threads and output stays allowed. */
#include "target.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* Calls that only older processors have: elsewhere a number that no call has stands for them. */
#ifndef SYS_open
#define SYS_open UINT32_MAX
#define SYS_unlink UINT32_MAX
#define SYS_rename UINT32_MAX
#define SYS_readlink UINT32_MAX
#endif
#ifndef SYS_getrlimit
#define SYS_getrlimit UINT32_MAX
#endif

#define FORBID(number) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)
#define LOAD BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static struct sock_filter no_open[] = {LOAD, FORBID(SYS_openat), FORBID(SYS_open), ALLOW};

static struct sock_filter no_files[] = {
    LOAD,
    FORBID(SYS_openat),
    FORBID(SYS_open),
    FORBID(SYS_fallocate),
    FORBID(SYS_ftruncate),
    FORBID(SYS_unlink),
    FORBID(SYS_rename),
    FORBID(SYS_renameat2),
    FORBID(SYS_fcntl),
    FORBID(SYS_newfstatat),
    FORBID(SYS_fstat),
    FORBID(SYS_pread64),
    FORBID(SYS_flock),
    ALLOW,
};

static struct sock_filter no_memory[] = {
    LOAD,
    FORBID(SYS_mincore),
    FORBID(SYS_msync),
    FORBID(SYS_process_vm_readv),
    FORBID(SYS_prlimit64),
    FORBID(SYS_getrlimit),
    FORBID(SYS_fallocate),
    ALLOW,
};

static struct sock_filter no_most[] = {
    LOAD,
    FORBID(SYS_openat),
    FORBID(SYS_open),
    FORBID(SYS_fallocate),
    FORBID(SYS_getppid),
    FORBID(SYS_rt_sigaction),
    FORBID(SYS_sigaltstack),
    FORBID(SYS_rt_sigtimedwait),
    FORBID(SYS_sched_yield),
    FORBID(SYS_getrandom),
    FORBID(SYS_readlink),
    FORBID(SYS_ptrace),
    FORBID(SYS_tgkill),
    FORBID(SYS_getdents64),
    ALLOW,
};

static int install(const char *how)
{
    struct sock_fprog program = {sizeof(no_open) / sizeof(*no_open), no_open};

    if (strcmp(how, "files") == 0)
        program = (struct sock_fprog){sizeof(no_files) / sizeof(*no_files), no_files};
    if (strcmp(how, "memory") == 0)
        program = (struct sock_fprog){sizeof(no_memory) / sizeof(*no_memory), no_memory};
    if (strcmp(how, "most") == 0)
        program = (struct sock_fprog){sizeof(no_most) / sizeof(*no_most), no_most};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        return -1;
    return 0;
}

static void *work(void *unused)
{
    for (size_t i = 0; i < 50000; i++)
        free(use(malloc(i % 1000)));
    lose(50, 50);
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t thread;

    if (argc < 2 || install(argv[1]))
        return 77;
    puts("forbidden");
    fflush(stdout);
    for (int i = 0; i < 200000; i++)
        use(malloc(16));
    lose(100, 100);
    if (pthread_create(&thread, NULL, work, NULL) == 0)
        pthread_join(thread, NULL);
    puts("done");
    return 5;
}
