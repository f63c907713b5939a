# SPDX-License-Identifier: MIT
"""Compares what programs said they allocated with their reports.

    compare.py MEMSHIM FOLDER OUTPUT [--at-least]

OUTPUT has lines "kept PID BLOCKS BYTES" of blocks that are allocated in a C function `keep` and not freed, which are added up, and
lines "image PID", one for each program image of a process that execs. FOLDER has the reports and ledgers, all of which have to be there, readable and whole, and to say the same;
with --at-least (for a process that was killed between printing and the next block) they may have more."""
import collections
import json
import os
import subprocess
import sys


def expected(path):
    kept = collections.defaultdict(lambda: [0, 0, 0])
    with open(path, errors="replace") as lines:
        for line in lines:
            words = line.split()
            if len(words) == 4 and words[0] == "kept":
                entry = kept[int(words[1])]
                entry[0] += int(words[2])
                entry[1] += int(words[3])
            elif len(words) == 2 and words[0] == "image":
                kept[int(words[1])][2] += 1
    return kept


def is_kept(leak):
    return any(frame.get("function") == "keep" for frame in leak["stack"])


def problems(document, kept, at_least):
    found = collections.defaultdict(lambda: [0, 0])
    images = collections.Counter(process["pid"] for process in document["processes"])
    for leak in document["leaks"]:
        if is_kept(leak):
            found[leak["pid"]][0] += leak["blocks"]
            found[leak["pid"]][1] += leak["bytes"]
    for process in document["processes"]:
        if process["truncated"]:
            yield f"the report of {process['pid']} is truncated"
        if process["ended"] == "unknown":
            yield f"nobody knows how {process['pid']} ended"
    for pid, (blocks, size, count) in kept.items():
        if images[pid] < max(count, 1):
            yield f"{pid} has {images[pid]} reports, not {max(count, 1)}"
        got = found[pid]
        if got != [blocks, size] and not (at_least and got[0] >= blocks and got[1] >= size):
            yield f"{pid} kept {blocks} blocks, {size} bytes; its report has {got[0]}, {got[1]}"


def main():
    memshim, folder, output = sys.argv[1:4]
    kept = expected(output)
    run = subprocess.run([memshim, "report", "--format", "json", "--show", "startup,interpreter", folder],
                         capture_output=True, check=False)
    if run.returncode:
        sys.exit(f"memshim report: status {run.returncode}: {run.stderr.decode(errors='replace')[-300:]}")
    if run.stderr:
        sys.exit(f"memshim report: {run.stderr.decode(errors='replace')[:300]}")
    wrong = list(problems(json.loads(run.stdout), kept, "--at-least" in sys.argv))
    wrong += [f"{name} is left" for name in os.listdir(folder) if name.endswith(".part")]
    if not kept:
        wrong.append("the program printed nothing")
    if wrong:
        sys.exit(f"{len(wrong)} differences in {len(kept)} processes: " + "; ".join(wrong[:4]))
    print(f"{len(kept)} processes, {sum(entry[0] for entry in kept.values())} blocks")


main()
