#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the example of the README and the programs of tests/programs under memshim and lets the consumers of all formats read what
they left: as it is, and as one self-contained report in one compressed file.

    validate_programs.py [NAME...]

TEST_MEMSHIM names the program. PYTHON names the interpreter (default: /usr/bin/python3). Programs whose packages are not installed
are named and skipped."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import validate_formats
from validate_formats import MEMSHIM, Wrong, memshim, need

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = os.environ.get("PYTHON", "/usr/bin/python3")
# Name: what it needs; the size of the blocks that it loses, and how many processes lose them.
PROGRAMS = {"numpy_work": ("numpy", 1000, 1), "lxml_work": ("lxml.etree", 500, 1), "sqlite_work": ("sqlite3", 300, 1),
            "web_server": ("http.server", 700, 6)}


def has_package(name):
    return subprocess.run([PYTHON, "-c", "import " + name], capture_output=True, check=False).returncode == 0


def run(folder, command, **kwargs):
    done = subprocess.run([MEMSHIM, "run", "-q", "-o", folder, "--", *command], capture_output=True, check=False, **kwargs)
    bare = subprocess.run(command, capture_output=True, check=False, **kwargs)
    need((done.returncode, done.stdout) == (bare.returncode, bare.stdout), f"{command}: {done}, bare {bare}")
    need(done.returncode == 0, f"{command}: {done.stderr.decode()}")


def check_losses(reports, size, processes):
    """What `lose` has lost is there, all of it but for what is still in a register somewhere."""
    document = json.loads(memshim(["report", "--format", "json", reports]))
    found = {}
    for leak in document["leaks"]:
        if leak["kind"] == "definite" and leak["bytes"] == leak["blocks"] * size:
            if any(frame["function"] == "lose" and frame["language"] == "python" for frame in leak["stack"]):
                found[leak["pid"]] = found.get(leak["pid"], 0) + leak["blocks"]
    need(len(found) == processes and min(found.values()) >= 4, f"blocks of {size} bytes by process: {found}")
    return {frame["file"] for leak in document["leaks"] for frame in leak["stack"] if frame["function"] == "lose"}


def check_self_contained(reports, folder):
    """A report with the symbols inside names the same functions, also where no module is found."""
    path = os.path.join(folder, "all.jsonl.zst")
    memshim(["report", "--self-contained", "-o", path, reports])
    for name in ("text", "collapsed"):
        need(memshim(["report", "--format", name, path]) == memshim(["report", "--format", name, reports]), f"{name} differs")
    return path


def export_all(reports, folder, formats):
    """All formats by one command are what each command alone writes."""
    paths = [f"{name}={os.path.join(folder, 'out.' + name)}" for name in formats]
    memshim(["export", reports, *paths])
    for name in formats:
        alone = memshim(["report", "--format", name, reports])
        written = pathlib.Path(folder, "out." + name).read_bytes()
        need(len(written) > 0 and bool(alone) == bool(written), f"{name} by export")


def check(name, formats):
    package, size, processes = PROGRAMS[name]
    if not has_package(package):
        print(f"ok {name} # SKIP no {package}")
        return 0
    with tempfile.TemporaryDirectory(prefix="memshim-programs-") as folder:
        reports = os.path.join(folder, "reports")
        try:
            run(reports, [PYTHON, "-s", str(HERE / "programs" / f"{name}.py")])
            check_losses(reports, size, processes)
            whole = check_self_contained(reports, folder)
            export_all(reports, folder, formats)
        except Wrong as error:
            print(f"not ok {name}: {error}")
            return 1
        return validate_formats.validate(name, [reports], formats, None, False) + validate_formats.validate(
            f"{name}, self-contained", [whole], formats, None, False)


def main():
    formats = validate_formats.formats_there()
    failures = sum(check(name, formats) for name in sys.argv[1:] or PROGRAMS)
    for name in sorted(validate_formats.skipped):
        print(f"skipped: {name}")
    print(f"{failures} failed")
    return 1 if failures else 0


sys.exit(main())
