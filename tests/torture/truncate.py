# SPDX-License-Identifier: MIT
"""truncate.py MEMSHIM REPORT LEDGER STEP: reads both cut at every STEP-th byte (a ledger: at the STEP-th pages, and in its first 500
bytes), all cuts of a file in few commands."""
import os
import subprocess
import sys
import tempfile

BATCH = 64


def check(memshim, paths):
    """Of one file alone the status says whether it could be read; the others are read in one command where that is so."""
    run = subprocess.run([memshim, "report", *paths], capture_output=True, check=False, timeout=600)
    if run.returncode not in (0, 2):
        sys.exit(f"status {run.returncode} for {paths}: {run.stderr[-500:]!r}")
    if run.returncode == 2 and len(paths) > 1:
        for path in paths:
            check(memshim, [path])
    elif run.returncode == 2 and run.stderr.count(b"\n") != 1:
        sys.exit(f"not one line for {paths}: {run.stderr[-500:]!r}")


def cuts_of(path, step):
    size = os.path.getsize(path)
    if path.endswith(".jsonl"):
        return range(0, size, step)
    return sorted({*range(0, size, 4096 * step), *range(0, 500, step)})


def main():
    memshim, report, ledger, step = sys.argv[1:]
    count = 0
    with tempfile.TemporaryDirectory(dir=os.path.dirname(report)) as folder:
        for path in (report, ledger):
            with open(path, "rb") as file:
                whole = file.read()
            suffix = os.path.splitext(path)[1]
            batch = []
            for cut in cuts_of(path, int(step)):
                name = os.path.join(folder, f"{cut}{suffix}")
                with open(name, "wb") as file:
                    file.write(whole[:cut])
                batch.append(name)
                count += 1
                if len(batch) == BATCH or len(whole) > 1 << 20:
                    check(memshim, batch)
                    for name in batch:
                        os.unlink(name)
                    batch = []
            if batch:
                check(memshim, batch)
    print(f"{count} cuts")


main()
