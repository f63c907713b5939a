/* SPDX-License-Identifier: MIT
 *
 * Gives up rights or a view of the system (argument 1 says which) in the middle, goes on allocating, and forks a child that does,
 * too. Both say what they have kept, as kept.h has it. */
#include "kept.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static bool be_nobody(void)
{
    return setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0;
}

static bool be_undumpable(void)
{
    return be_nobody() && prctl(PR_SET_DUMPABLE, 0) == 0;
}

static bool no_new_rights(void)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

static bool change_root(void)
{
    char folder[] = "/tmp/memshim-root-XXXXXX";
    bool there = mkdtemp(folder) && chroot(folder) == 0;

    return there && chdir("/") == 0 && rmdir("/") != 0;
}

/* Its own /tmp and /dev/shm. */
static bool own_mounts(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", "/dev/shm", "tmpfs", 0, NULL) == 0;
}

static bool own_processes(void)
{
    return unshare(CLONE_NEWPID) == 0;
}

static bool own_users(void)
{
    return unshare(CLONE_NEWUSER) == 0;
}

static const struct {
    const char *name;
    bool (*give_up)(void);
} ways[] = {
    {"nobody", be_nobody},   {"undumpable", be_undumpable}, {"no_new_privs", no_new_rights},
    {"chroot", change_root}, {"mounts", own_mounts},        {"pids", own_processes},
    {"users", own_users},
};

static void churn(void)
{
    for (size_t i = 0; i < 40000; i++)
        use(malloc(i % 100));
}

int main(int argc, char **argv)
{
    int status = 0;

    for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++)
        if (argc > 1 && strcmp(argv[1], ways[i].name) == 0 && !ways[i].give_up())
            return 77;
    keep(6, 60);
    pid_t pid = fork();
    if (pid == 0) {
        keep(7, 70);
        churn();
        tell(7, 70);
        exit(4);
    }
    waitpid(pid, &status, 0);
    churn();
    tell(6, 60);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
