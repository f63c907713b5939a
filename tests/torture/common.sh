# SPDX-License-Identifier: MIT
# What the cases of scripts/torture share. A case is a function case_NAME: it fails by `fail`, is skipped by `skip`, and else
# prints what it has seen. `folder` is its own.
# shellcheck shell=bash disable=SC2154,SC2016,SC2086,SC2034,SC2015

TORTURE_PATIENCE=1800 # seconds; nothing takes a tenth of that

fail() {
    printf '%s\n' "$*"
    exit 1
}

skip() {
    printf '%s\n' "$*"
    exit 77
}

# rounds LONG SHORT: how often.
rounds() {
    if [ -n "$TORTURE_SHORT" ]; then echo "$2"; else echo "$1"; fi
}

target() {
    printf '%s/%s' "$TEST_TARGETS" "$1"
}

# patiently COMMAND...: one program, which hangs if it takes so long (on a busy machine some take minutes). Its own status may be
# anything; `not_hung` tells.
patiently() {
    local begun=$SECONDS result=0
    timeout -k 5 1200 "$@" || result=$?
    [ $((SECONDS - begun)) -lt 1200 ] || echo "${*: -3}" >"$folder/hangs"
    return $result
}

not_hung() {
    [ ! -e "$folder/hangs" ] || fail "hangs: $(cat "$folder/hangs")"
}

# traced [OPTION...] -- COMMAND...: under memshim run. Leaves reports/, out, err and `status`.
traced() {
    rm -rf "$folder/reports"
    status=0
    patiently "$TEST_MEMSHIM" run -q -o "$folder/reports" "$@" >"$folder/out" 2>"$folder/err" || status=$?
    not_hung
}

# preloaded OPTIONS COMMAND...: without the launcher.
preloaded() {
    local options=$1
    shift
    rm -rf "$folder/reports"
    mkdir "$folder/reports"
    status=0
    patiently env "LD_PRELOAD=$TEST_SHIM${LD_PRELOAD:+:$LD_PRELOAD}" \
        "MEMSHIM_OPTIONS=output=$folder/reports/%n-%p.jsonl:$options" "$@" >"$folder/out" 2>"$folder/err" || status=$?
    not_hung
}

# bare COMMAND...: leaves bare_out, bare_err and `bare_status`.
bare() {
    bare_status=0
    patiently "$@" >"$folder/bare_out" 2>"$folder/bare_err" || bare_status=$?
    not_hung
}

# expect STATUS: how the traced program had to end.
expect() {
    [ $status -eq "$1" ] || fail "status $status, not $1: $(tail -n 3 "$folder/err")"
}

# The messages of a program: without ours, and without those of the shell about a signal.
messages() {
    grep -v -e '^memshim: ' -e 'common.sh: line' "$1" || true
}

# The traced program did what the bare one did.
same_as_bare() {
    [ $status -eq $bare_status ] || fail "status $status, bare $bare_status: $(tail -n 3 "$folder/err")"
    diff "$folder/bare_out" "$folder/out" || fail "other output"
    diff <(messages "$folder/bare_err") <(messages "$folder/err") || fail "other messages"
}

# compare [--at-least]: the program's "kept" lines with its reports.
compare() {
    python3 "$root/tests/torture/compare.py" "$TEST_MEMSHIM" "$folder/reports" "${output_of_program:-$folder/out}" "$@"
}

# report_lines: the reports of the last run as JSON, to be searched.
report_json() {
    "$TEST_MEMSHIM" report --format json --show startup,interpreter "$folder/reports" || fail "the report cannot be read"
}

# Every process has left something that can be read to its end; prints how many.
readable_reports() {
    report_json >"$folder/report.json"
    python3 - "$folder/report.json" <<'END' || exit 1
import json, sys
processes = json.load(open(sys.argv[1]))["processes"]
bad = [p["pid"] for p in processes if p["truncated"] or p["ended"] == "unknown"]
if bad or not processes:
    sys.exit(f"reports: {len(processes)}, of which bad: {bad}")
print(len(processes))
END
}

# Lists the interpreters of this machine.
pythons() {
    "$TEST_TARGETS/list_pythons" | sed 's/ (.*//'
}

need_root_mounts() {
    unshare -m true 2>/dev/null || skip "mounts need root"
}
