# SPDX-License-Identifier: MIT
# Cases of scripts/torture: interpreters that come and go.
# shellcheck shell=bash disable=SC2154,SC2016,SC2086,SC2034,SC2015

libraries() {
    local python
    for python in $(pythons); do
        "$python" - <<'END'
import os, sysconfig
name, folder = sysconfig.get_config_var("LDLIBRARY") or "", sysconfig.get_config_var("LIBDIR") or ""
for path in (os.path.join(folder, name), os.path.join(folder, sysconfig.get_config_var("MULTIARCH") or "", name),
             os.path.join(folder, name + ".1.0"), os.path.join(folder, "lib" + os.path.basename(os.path.realpath("/usr/bin/python3")) + ".so.1.0")):
    if ".so" in path and os.path.exists(path):
        print(path)
        break
END
    done | sort -u
}

# The same program bare and traced, with and without guard bytes: for each libpython.
each_library() {
    local library options count=0
    for library in $(libraries); do
        for options in verbosity=0 guard=1:quarantine=1M; do
            bare "$(target "$1")" "$library" "${@:2}"
            preloaded "$options" "$(target "$1")" "$library" "${@:2}"
            same_as_bare || fail "$library $options"
            readable_reports >/dev/null || fail "$library $options"
            count=$((count + 1))
        done
        [ -z "$TORTURE_SHORT" ] || break
    done
    [ $count -gt 0 ] || skip "no shared libpython"
    echo "$count runs"
}

case_initialize_ten_times() {
    each_library embed_python 'import json, re, threading; print(len(json.dumps([1] * 1000)))' 10
}

case_library_comes_and_goes() {
    each_library reload_python 'x = [str(i) for i in range(10000)]; print(len(x))' "$(rounds 5 2)"
}

# Subinterpreters, with a lock of their own where there is that.
case_subinterpreters() {
    local python options count=0
    for python in $(pythons); do
        for options in verbosity=0 guard=1 sample=10000; do
            bare "$python" "$root/tests/torture/subinterpreters.py"
            preloaded $options "$python" "$root/tests/torture/subinterpreters.py"
            same_as_bare || fail "$python $options"
            readable_reports >/dev/null || fail "$python $options"
            count=$((count + 1))
        done
        [ -z "$TORTURE_SHORT" ] || [ $count -lt 3 ] || break
    done
    echo "$count runs"
}

case_deepbind() {
    bare "$(target deepbind)" "$TEST_TARGETS/plugin.so"
    preloaded verbosity=0 "$(target deepbind)" "$TEST_TARGETS/plugin.so"
    same_as_bare
    readable_reports >/dev/null
    cat "$folder/out"
}
