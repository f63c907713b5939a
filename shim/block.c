/* SPDX-License-Identifier: MIT */
#include "block.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>

uint64_t block_secret;

bool block_prefix_readable(const void *p)
{
    /* The kernel reads the new mask before it looks at `how`: EFAULT for unreadable memory, EINVAL otherwise. Unlike
     * process_vm_readv this is allowed under every seccomp filter that lets a C library run. */
    int saved = errno;
    syscall(SYS_rt_sigprocmask, ~0, (const uint8_t *)p - BLOCK_PREFIX, NULL, 8);
    bool readable = errno != EFAULT;
    errno = saved;
    return readable;
}
