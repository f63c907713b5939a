# SPDX-License-Identifier: MIT
"""Prints what a process finds around itself - environment, descriptors, signals, limits, folder, umask - for comparison of a bare and a
traced run. The descriptors of the shim itself (from 100 up, closed by exec) are no surprise; what children get is printed, too."""
import fcntl
import os
import resource
import signal
import subprocess
import sys

OWN = ("MEMSHIM_OPTIONS", "LD_PRELOAD")


def descriptors():
    found = []
    for name in sorted(os.listdir("/proc/self/fd"), key=int):
        fd = int(name)
        try:
            flags = fcntl.fcntl(fd, fcntl.F_GETFD)
            target = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:  # that of the listing
            continue
        if fd < 100 or not flags & fcntl.FD_CLOEXEC:
            found.append((fd, flags, target.split(":")[0]))
    return found


def main():
    for name in sorted(os.environ):
        if name not in OWN:
            print(name, os.environ[name])
    print([path for path in os.environ.get("LD_PRELOAD", "").split(":") if path and "libmemshim" not in path])
    print(descriptors(), os.dup(2))
    with open("/proc/self/status") as lines:
        print([line.split() for line in lines if line.startswith(("Sig", "Shd", "NoNewPrivs", "Seccomp"))][1:])
    print([str(signal.getsignal(number)) for number in range(1, signal.NSIG)])
    print([resource.getrlimit(getattr(resource, name)) for name in sorted(dir(resource)) if name.startswith("RLIMIT")])
    print(os.getcwd(), oct(os.umask(0o22)), sys.argv, len(os.listdir("/proc/self/task")))
    sys.stdout.flush()
    if len(sys.argv) == 1:
        subprocess.run([sys.executable, __file__, "child"], check=True, close_fds=False)


main()
