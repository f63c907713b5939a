# SPDX-License-Identifier: MIT
# Functions for the scripts of this folder; to be sourced by bash. Sets `root` to the folder of the project.
# shellcheck shell=bash
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Debian packages: what the build needs, what the tests and checks need on top, and what they use when it is there.
build_packages=(gcc libc6-dev meson ninja-build pkg-config libunwind-dev libjansson-dev libdw-dev libelf-dev libxxhash-dev
    uthash-dev libzstd-dev libprotobuf-c-dev protobuf-c-compiler zlib1g-dev)
example_packages=(python3 python3-dev)
test_packages=(g++ libcriterion-dev valgrind clang-format-14 clang-tidy-14 codespell binutils python3-venv)
optional_packages=(libjemalloc2 libtcmalloc-minimal4 libmimalloc2.0 musl-tools cython3 python3-numpy python3-jsonschema protobuf-compiler
    libxml2-utils shellcheck nodejs npm chromium)

say() {
    printf '%s: %s\n' "${0##*/}" "$*"
}

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# missing_packages PACKAGE...: prints those that are not installed.
missing_packages() {
    local package
    for package in "$@"; do
        # Some packages of nodejs bring npm along.
        [ "$package" != npm ] || ! command -v npm >/dev/null || continue
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s\n' "$package"
    done
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# install_packages PURPOSE PACKAGE...: installs what is missing. Touches nothing when everything is there.
install_packages() {
    local purpose=$1 missing
    shift
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        say "no apt here: install by hand what is missing of: $*"
        return 0
    fi
    mapfile -t missing < <(missing_packages "$@")
    if [ ${#missing[@]} -eq 0 ]; then
        say "packages for $purpose: all there"
        return 0
    fi
    say "installing packages for $purpose: ${missing[*]}"
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        die "not root and no sudo; run this as root first: apt-get install ${missing[*]}"
    fi
    as_root apt-get update -qq || say "apt-get update failed, going on with the package lists that are here"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" \
        >/dev/null || die "apt-get could not install: ${missing[*]}"
}

# configure DIR MESON-OPTION...: sets a build folder up; one that is there keeps its other options.
configure() {
    local directory=$1 log
    shift
    if [ -f "$directory/build.ninja" ]; then
        meson configure "$directory" "$@" >/dev/null
        return
    fi
    log=$(meson setup "$directory" "$root" "$@" 2>&1) || {
        printf '%s\n' "$log" >&2
        die "meson could not set up $directory"
    }
}

# build DIR: compiles; says nothing unless it fails.
build() {
    local log=$1/ninja.log
    ninja -C "$1" >"$log" 2>&1 || {
        cat "$log" >&2
        die "the build in $1 failed"
    }
}
