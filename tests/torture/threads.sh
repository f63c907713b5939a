# SPDX-License-Identifier: MIT
# Cases of scripts/torture: threads and signals.
# shellcheck shell=bash disable=SC2154,SC2016,SC2086,SC2034,SC2015

# The memory of the shim follows the live blocks and threads, not those that there were.
case_threads() {
    local few many
    traced -- "$(target threads_many)" "$(rounds 500 100)"
    expect 0
    compare >/dev/null || fail "few threads: $(compare)"
    few=$(sed -n 's/^ledger //p' "$folder/err")
    traced -- "$(target threads_many)" "$(rounds 5000 500)"
    expect 0
    many=$(sed -n 's/^ledger //p' "$folder/err")
    [ "$few" -gt 0 ] && [ "$many" -le "$few" ] || fail "the ledger grows from $few bytes to $many"
    compare
}

case_threads_guard() {
    traced --guard --quarantine=1M -- "$(target threads_many)" "$(rounds 3000 200)"
    expect 0
    compare
}

case_cancelled() {
    local option
    for option in --guard=0 --guard=1 --self-check=1; do
        traced $option -- "$(target cancelled)"
        expect 7
        compare || exit 1
    done
}

# Handlers that allocate, also inside a hook, over an allocator that allows it.
case_signals() {
    export LD_PRELOAD="$TEST_TARGETS/safe_malloc.so"
    preloaded verbosity=0 "$(target signals_inside)" "$(rounds 200000 5000)"
    expect 0
    [ ! -s "$folder/err" ] || fail "$(head -n 3 "$folder/err")"
    unset LD_PRELOAD
    compare
}

# Little stack - the smallest thread, a coroutine, a handler on an alternate stack - is enough for all that the shim does there.
case_narrow_stacks() {
    local where what option
    for where in thread context handler; do
        for what in go_on fork exit; do
            for option in $(rounds "--guard=0 --guard=1" --guard=1); do
                traced $option -- "$(target narrow_stacks)" $where $what
                expect "$([ $what = exit ] && echo 3 || echo 0)"
                compare >"$folder/compared" || fail "$where $what $option: $(cat "$folder/compared")"
            done
        done
    done
    echo "3 places, 3 ends"
}

# Handlers that leave a hook by a jump: what comes later is recorded like all else, or the report says that it is not.
case_jumps() {
    local option
    for option in verbosity=0 guard=1 $(rounds "guard_pages=20 self_check=1" ""); do
        preloaded $option "$(target jump_out)" wild
        expect 2
        compare >"$folder/compared" || fail "$option: $(cat "$folder/compared")"
    done
    export LD_PRELOAD="$TEST_TARGETS/safe_malloc.so"
    for option in verbosity=0 guard=1; do
        preloaded $option "$(target jump_out)" timer
        expect 2
        compare >"$folder/compared" || grep -q "jumped out of an allocation" "$folder"/reports/* || fail "$option: $(cat "$folder/compared")"
    done
    echo "pointers that lead nowhere, and a timer"
}

# Handlers that end the process, fork or exec in the middle of a hook.
case_ends_in_handlers() {
    local how option round count=0
    export LD_PRELOAD="$TEST_TARGETS/safe_malloc.so"
    for how in exit fork $(rounds "_exit quick_exit exec" ""); do
        for option in verbosity=0 guard=1; do
            for round in $(seq "$(rounds 10 1)"); do
                preloaded $option "$(target end_in_handler)" $how $((RANDOM % 3000 + 300))
                expect 7
                unset LD_PRELOAD
                compare >"$folder/compared" || fail "$how $option: $(cat "$folder/compared")"
                export LD_PRELOAD="$TEST_TARGETS/safe_malloc.so"
                count=$((count + 1))
            done
        done
    done
    echo "$count processes"
}

# Every function behind the hooks fails once, at each of many places: nothing falls, and what was recorded can be read.
case_malloc_fails() {
    local nth count=0
    cp "$(target refused)" "$folder/memshim" # fail_nth.so is for programs of this name
    for nth in $(seq "$(rounds 60 12)") $(seq 61 "$(rounds 97 900)" 4000); do
        rm -rf "$folder/reports" && mkdir "$folder/reports"
        FAIL_NTH=$nth FAIL_MARK=$folder/mark LD_PRELOAD=$TEST_SHIM:$TEST_TARGETS/fail_nth.so \
            MEMSHIM_OPTIONS=output=$folder/reports/%p.jsonl patiently "$folder/memshim" >"$folder/out" 2>"$folder/err" ||
            grep -q 'wrong 1' "$folder/out" || fail "request $nth: $(cat "$folder/err")"
        "$TEST_MEMSHIM" report "$folder/reports" >/dev/null || fail "request $nth"
        count=$((count + 1))
    done
    echo "$count requests"
}
