# SPDX-License-Identifier: MIT
# Cases of scripts/torture: disks that are full, files and folders that are not there, system calls that fail. The program runs as
# if alone; the report, or a line, says what is missing.
# shellcheck shell=bash disable=SC2154,SC2016,SC2086,SC2034,SC2015,SC2012

# Runs "$@" where the preparation in $PREPARE has been, with reports in $folder/disk, which are copied to $folder/reports.
faulty_run() {
    rm -rf "$folder/disk" "$folder/reports"
    mkdir -p "$folder/disk" "$folder/reports"
    status=0
    patiently unshare -m --propagation private bash -c '
        folder=$0 shim=$1 output=$2
        shift 2
        eval "$PREPARE"
        status=0
        LD_PRELOAD=$shim MEMSHIM_OPTIONS=output=$output "$@" || status=$?
        cp "$folder/disk/"* "$folder/reports" 2>/dev/null
        exit $status' "$folder" "$TEST_SHIM" "${OUTPUT:-$folder/disk/%n-%p.jsonl}" "$@" \
        >"$folder/out" 2>"$folder/err" || status=$?
}

# faulty PREPARATION (bash): several programs there, with the same results as alone. Either there are reports that can be read, or
# the shim has said why not.
faulty() {
    unshare -m true 2>/dev/null || skip "mounts need root"
    export PREPARE=$1
    local program
    local programs=(threads_leak python3 "out_of_memory 40" fork_threads)
    for program in "${programs[@]:0:$(rounds 4 2)}"; do
        local command
        read -ra command <<<"$program"
        if [ "$program" = python3 ]; then
            command=(python3 "$root/tests/targets/exercise.py")
        else
            command[0]=$(target "${command[0]}")
        fi
        bare "${command[@]}"
        faulty_run "${command[@]}"
        same_as_bare
        if [ -n "$(ls "$folder/reports")" ]; then
            readable_reports >/dev/null || fail "${command[0]}: reports"
        else
            grep -q '^memshim: ' "$folder/err" || fail "${command[0]}: not a word, and no report"
        fi
    done
    grep -m 1 '^memshim: ' "$folder/err" || echo "$(readable_reports) reports"
}

# As many as fit, of one million blocks.
case_full_disk() {
    faulty 'mount -t tmpfs -o size=256k none "$folder/disk"; mount -t tmpfs -o size=64k none /dev/shm'
}

case_disk_fills() {
    faulty 'mount -t tmpfs -o size=5m none "$folder/disk"; mount -t tmpfs -o size=64k none /dev/shm'
}

case_shared_memory_fills() {
    faulty 'mount -t tmpfs -o size=600m none /dev/shm; head -c 20m /dev/zero >/dev/shm/other; mount -t tmpfs -o size=64k none "$folder/disk"'
}

case_no_shared_memory() {
    faulty 'mount -t tmpfs -o ro none /dev/shm'
}

case_read_only_folder() {
    faulty 'mount -t tmpfs -o ro none "$folder/disk"'
}

case_missing_folder() {
    OUTPUT=/nonexistent/folder/%p.jsonl faulty true
}

case_no_proc() {
    faulty 'umount -l /proc'
}

case_no_dev() {
    faulty 'mount -t tmpfs none /dev; mknod -m 666 /dev/null c 1 3'
}

# Limits from the first instruction on.
case_limits() {
    local limit
    for limit in "-f 0" "-f 1000" "-n 4" "-n 8" "-n 64" "-l 0" "-v 400000" "-s 256" "-s 20" "-u 1"; do
        bare bash -c "ulimit $limit"' && exec "$0" "$@"' "$(target no_leak)"
        preloaded verbosity=0 bash -c "ulimit $limit"' && exec "$0" "$@"' "$(target no_leak)"
        same_as_bare || fail "ulimit $limit"
    done
    for limit in fsize nofile as; do
        bare "$(target limits)" $limit
        preloaded verbosity=0 "$(target limits)" $limit
        diff <(grep -v refused "$folder/bare_out") <(grep -v refused "$folder/out") || fail "limits $limit"
        [ $status -eq $bare_status ] || fail "limits $limit: status $status"
    done
    echo "13 limits"
}

# The folder goes while the program runs.
case_folder_deleted() {
    rm -rf "$folder/reports"
    bare bash -c '"$0"' "$(target no_leak)"
    preloaded verbosity=0 bash -c 'rm -r "$1"; "$0"' "$(target no_leak)" "$folder/reports"
    same_as_bare
    grep '^memshim: ' "$folder/err" | head -n 1 | sed "s,$folder,..,"
    # A process that still has its messages tells where its ledger is, and that can be read.
    preloaded verbosity=0 bash -c 'rm -r "$1"; :' - "$folder/reports"
    local ledger
    ledger=$(sed -n "s/^memshim: cannot write .*the ledger is '\(.*\)'.*/\1/p" "$folder/err" | head -n 1)
    [ -e "$ledger" ] || fail "no word about the ledger: $(cat "$folder/err")"
    "$TEST_MEMSHIM" report "$ledger" >/dev/null || fail "the ledger cannot be read"
    rm -f "$ledger"
}

# The launcher's own folder cannot be made.
case_folder_cannot_be_made() {
    local where
    for where in /dev/null/reports /proc/reports "$folder/$(printf 'x%.0s' $(seq 300))"; do
        status=0
        patiently "$TEST_MEMSHIM" run -q -o "$where" -- true >"$folder/out" 2>"$folder/err" || status=$?
        [ $status -eq 2 ] || [ $status -eq 3 ] || fail "$where: status $status: $(cat "$folder/err")"
        [ "$(wc -l <"$folder/err")" -eq 1 ] || fail "$where: not one line: $(cat "$folder/err")"
    done
    cat "$folder/err"
}

# A clock that is set back again and again.
case_clock_set_back() {
    export LD_PRELOAD="$TEST_TARGETS/clock_back.so"
    preloaded verbosity=0 "$(target fork_children)"
    unset LD_PRELOAD
    expect 0
    echo "$(readable_reports) reports"
}

# Filters that forbid what the program itself does not need, from the start of its own code on.
case_seccomp() {
    local how name
    for how in open files memory most; do
        bare "$(target seccomp)" $how
        [ $bare_status -ne 77 ] || skip "no seccomp"
        for name in verbosity=0 guard=1 guard_pages=5; do
            preloaded $name "$(target seccomp)" $how
            same_as_bare || fail "$how with $name"
            [ -z "$(ls "$folder/reports")" ] || readable_reports >/dev/null || fail "$how with $name"
        done
    done
    echo "4 filters, 3 options each"
}

# The ledger cannot grow: every event that is not recorded is counted.
case_dropped_are_counted() {
    preloaded verbosity=0 "$(target seccomp)" memory
    expect 5
    report_json >"$folder/report.json"
    python3 - "$folder/report.json" <<'END'
import json, sys
totals = json.load(open(sys.argv[1]))["processes"][0]["totals"]
if totals["dropped"] + totals["allocations"] < 250_000:
    sys.exit(f"not all is counted: {totals}")
print(totals["dropped"], "dropped")
END
}

# A ledger that somebody else has put where that of an earlier image of the process would be does not make it write a file.
case_planted_ledger() {
    [ "$(id -u)" -eq 0 ] || skip "only root can give files away"
    local keeper=$folder/keeper.sh
    printf '%s\n' 'link=$1/bash-$PPID.ledger' 'chown nobody "$(readlink "$link")"' 'rm "$link"' 'touch "$1/ready"' >"$keeper"
    preloaded verbosity=0 bash -c 'env -u LD_PRELOAD sh "$1" "$2"; exec "$0"' "$(target no_leak)" "$keeper" "$folder/reports"
    expect 0
    [ -e "$folder/reports/ready" ] || fail "no ledger in shared memory"
    [ -z "$(find "$folder/reports" -name "bash-$(sed 's/^no_leak-//;s/.jsonl$//' <<<"$(cd "$folder/reports" && echo no_leak-*)").jsonl")" ] ||
        fail "the planted ledger became a report"
    echo "not read"
    find /dev/shm -maxdepth 1 -user nobody -name "memshim-*.ledger" -newer "$keeper" -delete
}

# Reports are private, do not overwrite anything, and do not follow anybody's symbolic links.
case_privacy() {
    (umask 0 && preloaded verbosity=0 "$(target end_variants)" kill) || true
    [ -z "$(find "$folder/reports/" -type f -perm /077)" ] || fail "a ledger others can read"
    (umask 0 && preloaded verbosity=0 "$(target leak_in_loop)" --password=secret)
    [ -z "$(find "$folder/reports" -type f -perm /077)" ] || fail "a report others can read"
    ! grep -r secret "$folder/reports" || fail "arguments are in the report"
    preloaded record_argv=1 "$(target leak_in_loop)" --password=secret
    grep -qr secret "$folder/reports" || fail "arguments are not in the report"
    SECRET_WORD=kj3hx82hd preloaded verbosity=0 "$(target end_variants)" kill
    ! grep -qra kj3hx82hd "$folder/reports" /dev/shm/memshim-* 2>/dev/null || fail "the environment is in the ledger"

    # Names that are taken: by a file, by a link to a file, by a link to nothing.
    local name
    mkdir "$folder/taken"
    for name in x.jsonl x.ledger x.jsonl.part; do
        echo precious >"$folder/taken/$name"
    done
    echo precious >"$folder/precious"
    ln -s "$folder/precious" "$folder/taken/x.1.jsonl"
    ln -s "$folder/precious" "$folder/taken/x.2.ledger"
    ln -s "$folder/nothing" "$folder/taken/x.3.jsonl"
    ln -s "$folder/nothing" "$folder/taken/x.4.ledger"
    for name in 1 2 3; do
        LD_PRELOAD=$TEST_SHIM MEMSHIM_OPTIONS=output=$folder/taken/x.jsonl "$(target leak_in_loop)" >/dev/null
    done
    [ ! -e "$folder/nothing" ] || fail "a link to nothing was followed"
    [ "$(cat "$folder/precious")" = precious ] || fail "a link was followed"
    for name in x.jsonl x.ledger x.jsonl.part; do
        [ "$(cat "$folder/taken/$name")" = precious ] || fail "$name was overwritten"
    done
    [ "$(find "$folder/taken" -type f -name '*.jsonl' -size +1k | wc -l)" -eq 3 ] || fail "not three reports: $(ls -l "$folder/taken")"
    echo "$(ls "$folder/taken" | wc -l) names"
}

# A real report cut at every byte and a real ledger cut at every page and at its first bytes: what is left is read, or refused in
# one line, and nothing else.
case_truncated_files() {
    preloaded verbosity=0 "$(target leak_in_loop)"
    cp "$folder/reports/"*.jsonl "$folder/whole.jsonl"
    preloaded verbosity=0 "$(target end_variants)" kill
    cp "$(readlink -f "$folder/reports/"*.ledger)" "$folder/whole.ledger"
    python3 "$root/tests/torture/truncate.py" "$TEST_MEMSHIM" "$folder/whole.jsonl" "$folder/whole.ledger" "$(rounds 1 53)"
}
