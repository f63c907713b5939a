# SPDX-License-Identifier: MIT
# Cases of scripts/torture: other allocators, and programs that cannot be traced.
# shellcheck shell=bash disable=SC2154,SC2016,SC2086,SC2034,SC2015

other_allocators() {
    local name
    for name in libjemalloc.so.2 libtcmalloc_minimal.so.4 libmimalloc.so.2.0; do
        [ ! -e "/usr/lib/$(uname -m)-linux-gnu/$name" ] || echo "/usr/lib/$(uname -m)-linux-gnu/$name"
    done
}

# Programs that observe the malloc family, with an allocator preloaded before or behind the shim, or linked.
case_other_allocators() {
    local library name options count=0
    for library in $(other_allocators); do
        for name in no_leak realloc_contents fork_threads $(rounds "threads_leak free_foreign new_delete" ""); do
            for options in verbosity=0 $(rounds "guard=1 sample=1000" guard=1); do
                LD_PRELOAD=$library bare "$(target $name)"
                [ $bare_status -lt 128 ] || break # what it does is not for this allocator
                LD_PRELOAD=$library preloaded $options "$(target $name)"
                same_as_bare || exit 1
                readable_reports >/dev/null || fail "no report of $name over $library"
                count=$((count + 1))
            done
        done
        LD_PRELOAD=$library traced -- "$(target leak_in_loop)"
        expect 0
        [ "$(lost_blocks)" = 100 ] || fail "$library: $(lost_blocks) blocks, not 100"
    done
    [ $count -gt 0 ] || skip "no other allocators"
    echo "$count runs over: $(other_allocators | sed 's,.*/,,' | tr '\n' ' ')"
}

# Blocks of the function lose.
lost_blocks() {
    report_json >"$folder/report.json"
    python3 - "$folder/report.json" <<'END'
import json, sys
leaks = json.load(open(sys.argv[1]))["leaks"]
print(sum(leak["blocks"] for leak in leaks if any(frame["function"] == "lose" for frame in leak["stack"])))
END
}

case_python_over_allocators() {
    local library count=0 options
    for library in $(other_allocators); do
        for options in verbosity=0 $(rounds guard=1 ""); do
            LD_PRELOAD=$library bare python3 "$root/tests/targets/exercise.py"
            LD_PRELOAD=$library preloaded $options python3 "$root/tests/targets/exercise.py"
            same_as_bare || exit 1
            count=$((count + 1))
        done
    done
    [ $count -gt 0 ] || skip "no other allocators"
    echo "$count runs"
}

# compile NAME ARGUMENT...: a target by another compiler or for another machine.
compile() {
    local compiler=$1
    shift
    command -v "$compiler" >/dev/null || return 1
    $compiler -O1 -w -I"$root/include" "$@" -o "$folder/program" 2>"$folder/cc" || return 1
}

# A program with a sanitizer's library runs with both.
case_sanitized_program() {
    local compiler sanitizer count=0
    for compiler in cc clang; do
        for sanitizer in address $(rounds "undefined thread" ""); do
            compile $compiler -fsanitize=$sanitizer "$root/tests/targets/no_leak.c" -lpthread || continue
            bare "$folder/program"
            [ $bare_status -eq 0 ] || continue # no such library, or no room for it
            traced -- "$folder/program"
            same_as_bare
            readable_reports >/dev/null
            count=$((count + 1))
        done
    done
    [ $count -gt 0 ] || skip "no sanitizers"
    echo "$count programs"
}

case_linked_allocators() {
    local library count=0
    for library in $(other_allocators); do
        compile cc "$root/tests/targets/leak_in_loop.c" "$library" || skip "no compiler"
        bare "$folder/program"
        traced -- "$folder/program"
        same_as_bare
        [ "$(lost_blocks)" = 100 ] || fail "linked with $library: $(lost_blocks) blocks, not 100"
        count=$((count + 1))
    done
    [ $count -gt 0 ] || skip "no other allocators"
    echo "$count allocators"
}

# The program runs as if alone, and one line says that it was not traced.
untraced() {
    bare "$@"
    traced -- "$@"
    [ $status -eq $bare_status ] || fail "status $status, bare $bare_status: $(cat "$folder/err")"
    diff "$folder/bare_out" "$folder/out" || fail "other output"
    [ "$(grep -c '^memshim: ' "$folder/err")" -ge 1 ] || fail "not a word about it: $(cat "$folder/err")"
    diff <(messages "$folder/bare_err") <(messages "$folder/err") || fail "other messages: $(cat "$folder/err")"
    tail -n 1 "$folder/err"
}

case_static_program() {
    [ -x "$(target static_program)" ] || skip "no static C library"
    untraced "$(target static_program)"
}

case_setuid_program() {
    [ "$(id -u)" -eq 0 ] || skip "needs root"
    chmod 755 "$folder"
    cp "$(target leak_in_loop)" "$folder/program"
    chown nobody "$folder/program"
    chmod 4755 "$folder/program"
    untraced "$folder/program"
}

case_other_word_size() {
    compile cc -m32 "$root/tests/targets/leak_in_loop.c" || skip "no 32-bit C library"
    untraced "$folder/program"
}

case_musl() {
    compile musl-gcc "$root/tests/targets/leak_in_loop.c" || skip "no musl"
    untraced "$folder/program"
}

# A program for musl that a traced program starts, in every way, runs as if alone, and what it starts in turn is traced again.
case_musl_child() {
    compile musl-gcc "$root/tests/targets/start_other.c" || skip "no musl"
    local how
    for how in run spawn exec; do
        bare sh -c '"$0" "$@"; echo $?' "$folder/program" $how "$(target no_leak)"
        traced -- sh -c '"$0" "$@"; echo $?' "$folder/program" $how "$(target no_leak)"
        same_as_bare
        [ ! -s "$folder/err" ] || fail "$(cat "$folder/err")"
        [ "$(find "$folder/reports" -name '*sh-*.jsonl' | wc -l)" -eq 1 ] || fail "no report of sh"
        [ "$(find "$folder/reports" -name 'no_leak-*.jsonl' | wc -l)" -eq 1 ] || fail "no report of what musl's program started"
    done
    echo "3 ways, $(readable_reports) reports"
}

case_script_without_interpreter() {
    printf '#!/no/such/interpreter\n' >"$folder/script"
    chmod 755 "$folder/script"
    traced -- "$folder/script"
    [ $status -eq 127 ] || [ $status -eq 126 ] || fail "status $status"
    tail -n 1 "$folder/err"
}
