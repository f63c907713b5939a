# SPDX-License-Identifier: MIT
# Cases of scripts/torture: what a program finds around itself.
# shellcheck shell=bash disable=SC2154,SC2016,SC2086,SC2034,SC2015

# Environment, descriptors, signals, limits, of the process and of a child: piped, so that the descriptors are the same.
surroundings() {
    bare bash -c '"$0" "$@" 2>&1 | cat' python3 -S "$root/tests/torture/surroundings.py"
    "$@" bash -c '"$0" "$@" 2>&1 | cat' python3 -S "$root/tests/torture/surroundings.py"
    same_as_bare
}

case_surroundings() {
    surroundings traced --
    surroundings preloaded verbosity=0
    export LD_PRELOAD="$TEST_TARGETS/safe_malloc.so"
    surroundings traced --
    surroundings preloaded verbosity=0
    echo "$(wc -l <"$folder/out") lines, the same 4 times"
}

# MEMSHIM_OPTIONS and LD_PRELOAD are gone in children that are not to be traced.
case_children_untraced() {
    export LD_PRELOAD="$TEST_TARGETS/safe_malloc.so"
    traced --children=0 -- python3 -S -c 'import os; os.execvp("env", ["env"])'
    expect 0
    grep -q '^MEMSHIM_OPTIONS=' "$folder/out" && fail "MEMSHIM_OPTIONS is left"
    grep -x "LD_PRELOAD=$TEST_TARGETS/safe_malloc.so" "$folder/out" || fail "LD_PRELOAD: $(grep LD_PRELOAD "$folder/out")"
}

# stdin, stdout, stderr closed: nothing of ours gets their numbers.
case_closed_descriptors() {
    local script='import os; print(sorted(int(n) for n in os.listdir("/proc/self/fd") if int(n) < 100 and int(n) != 1))'
    bare bash -c 'exec 0<&- 2>&-; exec "$0" "$@"' python3 -S -c "$script"
    traced -- bash -c 'exec 0<&- 2>&-; exec "$0" "$@"' python3 -S -c "$script"
    same_as_bare
    local seen
    seen=$(cat "$folder/out")
    bare bash -c 'exec 0<&- 1>&- 2>&-; exec "$0" "$@"' "$(target leak_in_loop)"
    traced -- bash -c 'exec 0<&- 1>&- 2>&-; exec "$0" "$@"' "$(target leak_in_loop)"
    same_as_bare
    echo "$seen"
}

# A program whose stderr nobody reads gets no SIGPIPE for the shim's lines.
case_broken_stderr() {
    local broken='import os, subprocess, sys
r, w = os.pipe(); os.close(r)
print(subprocess.run(sys.argv[1:], stderr=w, stdout=subprocess.DEVNULL).returncode)
print(subprocess.run(sys.argv[1:], stderr=open("/dev/full", "w"), stdout=subprocess.DEVNULL).returncode)'
    bare python3 -c "$broken" "$(target guard_errors)" overflow
    preloaded guard=1 python3 -c "$broken" "$(target guard_errors)" overflow
    same_as_bare
    readable_reports >/dev/null
    tr '\n' ' ' <"$folder/out"
}

# The malloc family before our constructor and after our destructor, and what libc itself asks for there.
case_early_and_late() {
    local options
    for options in verbosity=0 guard=1 guard_pages=1 sample=100 fail_above=1G; do
        bare "$(target early_and_late)"
        preloaded $options "$(target early_and_late)"
        same_as_bare
        readable_reports >/dev/null
    done
    tail -n 1 "$folder/out"
}
