#!/usr/bin/env bash
# Runs every fuzz target for so many seconds, on committed corpora and on what it makes of them. Exit 1 on any crash.
#
#     fuzz/run.sh 20              all targets, as many at a time as there are processors
#     fuzz/run.sh 600 lookup      the named ones
#
# What is found is kept: crashes in fuzz/artifacts, new inputs in fuzz/found, logs in fuzz/found/TARGET.log.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:?usage: fuzz/run.sh SECONDS [TARGET ...]}
shift
export CARGO_TERM_COLOR=never

cargo +nightly --version >/dev/null 2>&1 || rustup toolchain install nightly --profile minimal
cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked

# The crates forbid unsafe code, so that sanitizers have nothing to find. Comparisons are not traced: a target with a
# model does little else than compare, and the documents' words are in the dictionary.
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
cargo +nightly fuzz build --fuzz-dir . --sanitizer none --no-trace-compares --target "$host"
built=$(cargo +nightly metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/$host/release

# Inputs as long as they need to be: a document, or some twenty operations.
options() {
    case $1 in
        document | cli) echo "-max_len=16384 -dict=document.dict" ;;
        lookup | merge) echo "-max_len=4096 -len_control=10" ;;
        *) echo "-max_len=2048 -len_control=10" ;;
    esac
}

run() {
    local target=$1 status=0
    mkdir -p "found/$target" artifacts
    # shellcheck disable=SC2046
    "$built/$target" "found/$target" "corpus/$target" $(options "$target") -max_total_time="$seconds" -timeout=25 \
        -rss_limit_mb=2048 -artifact_prefix="artifacts/$target-" -print_final_stats=1 >"found/$target.log" 2>&1 || status=$?
    local executions coverage
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "found/$target.log")
    coverage=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "found/$target.log" | tail -n 1)
    if [ "$status" -eq 0 ]; then
        printf '%-10s %9s executions %6s edges   clean\n' "$target" "$executions" "$coverage"
    else
        printf '%-10s %9s executions %6s edges   FAILED, the log is fuzz/found/%s.log\n' \
            "$target" "${executions:-?}" "${coverage:-?}" "$target"
        grep -A 4 -E 'panicked at|ERROR: libFuzzer|Test unit written' "found/$target.log" || true
        return 1
    fi
}

export built seconds
export -f run options
[ "$#" -gt 0 ] || set -- cli document envelope lookup merge partition reapply store
printf '%s\n' "$@" | xargs -P "$(getconf _NPROCESSORS_ONLN)" -I '{}' bash -c 'run "$1"' run '{}' || exit 1
