# SPDX-License-Identifier: MIT
# Cases of scripts/torture: processes that begin and end.
# shellcheck shell=bash disable=SC2154,SC2016,SC2086,SC2034,SC2015

# Children of a process with 8 allocating threads end in every way.
case_fork_storm() {
    traced -- "$(target fork_storm)" "$(rounds 1000 54)"
    expect 0
    compare
}

case_fork_storm_guard() {
    ulimit -v 6000000 # what is kept back stays within bounds, also with more threads than processors
    traced --guard -- "$(target fork_storm)" "$(rounds 200 27)"
    expect 0
    compare
}

# os.fork beside threads, multiprocessing in its three ways, subprocess, posix_spawn, os._exit.
case_python_processes() {
    local python count=0
    for python in $(pythons); do
        bare "$python" "$root/tests/torture/processes.py"
        traced -- "$python" "$root/tests/torture/processes.py"
        expect "$bare_status"
        [ "$status" -eq 0 ] || fail "$python: $(tail -n 3 "$folder/err")"
        compare || exit 1
        count=$((count + 1))
        [ -z "$TORTURE_SHORT" ] || break
    done
    echo "$count interpreters"
}

case_exec() {
    bare "$(target exec_self)"
    traced -- "$(target exec_self)"
    same_as_bare
    echo "$(readable_reports) images"
}

case_spawn() {
    bare "$(target spawn_children)" "$(target leak_in_loop)"
    traced -- "$(target spawn_children)" "$(target leak_in_loop)"
    same_as_bare
    echo "$(readable_reports) processes"
}

# The daemon outlives the launcher.
case_daemon() {
    traced -- "$(target daemonize)" "$folder/log" "$folder/done"
    expect 0
    for _ in $(seq 300); do
        [ ! -e "$folder/done" ] || [ "$(find "$folder/reports" -name '*.jsonl' | wc -l)" -lt 3 ] || break
        sleep 0.1
    done
    output_of_program=$folder/done compare
}

# Killed at a random moment, with its launcher and alone.
case_killed() {
    local round total
    total=$(rounds 40 4)
    for round in $(seq "$total"); do
        rm -rf "$folder/reports"
        "$TEST_MEMSHIM" run -q -o "$folder/reports" -- "$(target killed)" >"$folder/out" 2>"$folder/err" &
        local launcher=$!
        until [ "$(wc -l <"$folder/out")" -gt 50 ]; do sleep 0.01; done
        sleep "0.$((RANDOM % 40 + 10))"
        local victim
        victim=$(awk 'NR == 1 {print $2}' "$folder/out")
        [ $((round % 2)) -eq 0 ] || kill -KILL $launcher
        kill -KILL "$victim"
        wait $launcher 2>/dev/null || true
        while [ -d "/proc/$victim" ]; do sleep 0.01; done
        # The last line may be cut by nothing: it was written at once, or not at all.
        compare --at-least >"$folder/compared" || fail "round $round: $(cat "$folder/compared")"
    done
    echo "$total times, the last: $(cat "$folder/compared")"
}

case_smashed_stack() {
    local what bytes count=0
    for what in text zeroes self; do
        for bytes in $(rounds "64 72 80 88 96 104 200 1000" "96 1000"); do
            bare "$(target smashed_stack)" $what $bytes
            traced -- "$(target smashed_stack)" $what $bytes
            expect "$bare_status"
            compare >"$folder/compared" || fail "$what $bytes: $(cat "$folder/compared")"
            count=$((count + 1))
        done
    done
    echo "$count stacks"
}

# All address space is taken: every block that the program got is in the report, or counted as dropped.
case_out_of_memory() {
    local how megabytes
    for how in exit abort; do
        for megabytes in $(rounds "16 100 300" 16); do
            traced -- "$(target out_of_memory)" $megabytes $how
            expect "$([ $how = exit ] && echo 0 || echo 134)"
            grep -qx 'took 1' "$folder/out" || fail "no memory at all"
            report_json >"$folder/report.json"
            python3 - "$folder/report.json" <<'END' || exit 1
import json, sys
totals = json.load(open(sys.argv[1]))["processes"][0]["totals"]
if totals["live_blocks"] + totals["dropped"] < 10_000:
    sys.exit(f"blocks are missing: {totals}")
END
        done
    done
    echo "limits of address space, 2 ends"
}

# The kernel ends a process that has more memory than its control group.
case_out_of_memory_killed() {
    group=/sys/fs/cgroup/memory
    [ -d $group ] || group=/sys/fs/cgroup
    group=$group/memshim-torture-$$
    mkdir $group 2>/dev/null || skip "no control groups"
    trap 'rmdir "$group"; clean_up' EXIT
    if [ -e $group/memory.max ]; then
        echo 64M >$group/memory.max && echo 0 >$group/memory.swap.max
    else
        echo 64M >$group/memory.limit_in_bytes
    fi 2>/dev/null || skip "no memory control group"
    traced -- bash -c 'echo $$ >'"$group"'/cgroup.procs; exec "$0"' "$(target killed)"
    expect 137
    grep -v '^image' "$folder/out" | sed '$d' >"$folder/told"
    output_of_program=$folder/told compare --at-least
}
