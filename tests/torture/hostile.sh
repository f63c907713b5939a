# SPDX-License-Identifier: MIT
# Cases of scripts/torture: programs that change what is around them and in them while they run, as servers, sandboxes and runtimes
# do.
# shellcheck shell=bash disable=SC2154,SC2016,SC2086,SC2034,SC2015

# Memory that cannot be read like other memory.
case_odd_memory() {
    local how option count=0
    for how in never_there sparse cut_file locked $(rounds "sparse_shared grows_down execute_only many_mappings" ""); do
        for option in $(rounds "--guard=0 --guard=1" --guard=0); do
            bare "$(target odd_memory)" $how
            traced $option -- "$(target odd_memory)" $how
            expect $bare_status
            [ $status -eq 77 ] || compare >"$folder/compared" || fail "$how $option: $(cat "$folder/compared")"
            count=$((count + 1))
        done
    done
    echo "$count runs"
}

# Rights and views that a process gives up before it forks. Where no report can be made any more, a line says so.
case_lesser_rights() {
    [ "$(id -u)" -eq 0 ] || skip "needs root"
    local how
    for how in no_new_privs mounts pids users nobody undumpable chroot; do
        bare "$(target lesser_rights)" $how
        traced -- "$(target lesser_rights)" $how
        expect $bare_status
        [ $status -ne 77 ] || continue
        # Those of whom nothing can be recorded have said so.
        sed -n 's/^memshim: cannot keep a ledger.*this process (\([0-9]*\)).*/\1/p' "$folder/err" >"$folder/untraced"
        grep -v -w -f "$folder/untraced" "$folder/out" >"$folder/told" || fail "$how: the process itself has no report"
        [ $how = nobody ] || [ $how = undumpable ] || [ $how = chroot ] || [ ! -s "$folder/untraced" ] || fail "$how: a child has no report"
        output_of_program=$folder/told compare >"$folder/compared" || fail "$how: $(cat "$folder/compared")"
    done
    rmdir /tmp/memshim-root-* 2>/dev/null || true
    # In a folder that the other user may write to nothing is missing.
    rm -rf "$folder/reports"
    mkdir -m 1777 "$folder/reports"
    chmod 711 "$folder"
    "$TEST_MEMSHIM" run -q -o "$folder/reports" -- "$(target lesser_rights)" nobody >"$folder/out" 2>"$folder/err" || [ $? -eq 4 ]
    [ ! -s "$folder/err" ] || fail "nobody: $(cat "$folder/err")"
    compare >"$folder/compared" || fail "nobody, in a folder for all: $(cat "$folder/compared")"
    echo "7 ways"
}

# Processes that the C library's fork has not made.
case_odd_processes() {
    local how
    for how in raw clone3 vfork clone nothing; do
        bare "$(target odd_processes)" $how
        traced -- "$(target odd_processes)" $how
        expect $bare_status
        compare >"$folder/compared" || fail "$how: $(cat "$folder/compared")"
    done
    echo "5 ways"
}

# What the program has under the numbers of descriptors that it has closed is its own.
case_own_descriptors() {
    local how
    for how in each range; do
        bare "$(target own_descriptors)" "$TEST_TARGETS/plugin.so" $how
        traced --self-check=1 -- "$(target own_descriptors)" "$TEST_TARGETS/plugin.so" $how
        expect $bare_status
        [ $status -eq 77 ] || compare || exit 1
    done
}

# A server with workers that are replaced while it runs, each by another signal.
case_prefork() {
    local python option count=0
    for python in $(pythons); do
        for option in $(rounds "--guard=0 --guard=1" --guard=0); do
            traced $option -- "$python" "$root/tests/torture/prefork.py"
            expect 0
            compare >"$folder/compared" || fail "$python $option: $(cat "$folder/compared")"
        done
        count=$((count + 1))
        [ -z "$TORTURE_SHORT" ] || break
    done
    echo "$count interpreters, $(cat "$folder/compared")"
}

# Under a debugger or a tracer of system calls, stopped and continued.
case_debuggers() {
    local count=0
    if command -v strace >/dev/null; then
        traced -- strace -f -o "$folder/strace" "$(target fork_storm)" 9
        grep -q 'ptrace.*EPERM' "$folder/err" || { expect 0 && compare || exit 1; }
        count=$((count + 1))
    fi
    if command -v gdb >/dev/null; then
        traced -- gdb -nx -batch -ex run -ex bt --args "$(target end_variants)" segv
        expect 0
        grep -q ' main (' "$folder/out" || grep -q ptrace "$folder/err" || fail "no stack: $(tail -n 3 "$folder/out")"
        count=$((count + 1))
    fi
    : >"$folder/told"
    traced -- bash -c '"$0" >"$1" & while [ "$(wc -l <"$1")" -lt 20 ]; do sleep 0.01; done; kill -STOP $!; sleep 0.1; kill -CONT $!; kill -TERM $!
        wait $!; [ $? -eq 143 ]' "$(target killed)" "$folder/told"
    expect 0
    output_of_program=$folder/told compare --at-least
}

# Names of programs that are as long as can be, or hold what means something to others.
case_program_names() {
    local name
    for name in "$(printf 'x%.0s' $(seq 255))" $'new\nline' '%p%n%' "quote'\""; do
        cp "$(target leak_in_loop)" "$folder/$name" 2>/dev/null || continue
        traced -- "$folder/$name"
        expect 0
        [ ! -s "$folder/err" ] || fail "$(cat "$folder/err")"
        [ "$(lost_blocks)" = 100 ] || fail "$name: $(lost_blocks) blocks, not 100"
    done
    echo "4 names"
}

# Whoever removes the folder that its own report is to lie in leaves its report all the same.
case_own_folder_removed() {
    traced -- rm -r "$folder/reports"
    expect 0
    [ "$(readable_reports)" = 1 ] || fail "$(readable_reports) reports, not 1"
    traced -- bash -c 'rm -r "$1"; kill -KILL $$' - "$folder/reports"
    expect 137
    [ "$(readable_reports)" = 2 ] || fail "$(readable_reports) reports, not 2"
    [ -z "$(find "$folder/reports/" -name '*.ledger')" ] || fail "a ledger is left"
    echo "2 ways"
}
