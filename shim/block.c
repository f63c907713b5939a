/* SPDX-License-Identifier: MIT */
#include "block.h"

#include "guard.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>

_hot_data_ uint64_t block_secret;
uint16_t block_process_max = UINT16_MAX;
uint32_t block_distance = BLOCK_PREFIX;
uint32_t block_trailer;
_hot_data_ uint64_t block_template = (uint64_t)BLOCK_PADDING_LOG_MIN << BLOCK_PADDING_SHIFT;

bool block_prefix_readable(const void *p)
{
    /* The kernel reads the new mask before it looks at `how`: EFAULT for unreadable memory, EINVAL otherwise. Unlike
     * process_vm_readv this is allowed under every seccomp filter that lets a C library run. */
    int saved = errno;
    syscall(SYS_rt_sigprocmask, ~0, (const uint8_t *)p - block_distance, NULL, 8);
    bool readable = errno != EFAULT;
    errno = saved;
    return readable;
}

bool block_prefix_there(const void *p)
{
    bool on_page = guard_active && ((uintptr_t)p & 4095) >= GUARD_SIDE;
    return (on_page && guard_seems_dressed(p)) || block_prefix_readable(p);
}
