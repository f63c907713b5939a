# SPDX-License-Identifier: MIT
"""python3 -m memshim run [options] app.py [arguments]: the program memshim, with this interpreter for Python programs."""
import os
import shutil
import sys

from ._memshim import _program

_WITH_VALUE = {"-o", "--output"}


def with_interpreter(arguments):
    """Puts this interpreter before the first argument that only makes sense for one: a .py file, -m or -c."""
    previous = None
    for place, argument in enumerate(arguments):
        if argument == "--":
            rest = arguments[place + 1 :]
            starts = rest and (rest[0].endswith(".py") or rest[0] in ("-m", "-c"))
            return arguments[: place + 1] + ([sys.executable] if starts else []) + rest
        if previous not in _WITH_VALUE and (argument.endswith(".py") or argument in ("-m", "-c")):
            return arguments[:place] + ["--", sys.executable] + arguments[place:]
        previous = argument
    return arguments


def find_program():
    """Of the environment, where it was installed, or of the path."""
    for path in (os.environ.get("MEMSHIM_PROGRAM"), _program, shutil.which("memshim")):
        if path and os.access(path, os.X_OK):
            return path
    return None


def main():
    arguments = sys.argv[1:]
    program = find_program()
    if program is None:
        sys.exit("memshim: the program memshim is not installed: name it in MEMSHIM_PROGRAM")
    if arguments[:1] == ["run"]:
        arguments = with_interpreter(arguments)
    os.execv(program, [program] + arguments)


if __name__ == "__main__":
    main()
