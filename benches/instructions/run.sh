#!/usr/bin/env bash
# Counts the instructions of the hot lookup by callgrind and compares them with the committed figures.
#
#     benches/instructions/run.sh             fails if a row costs 10 % more than its figure; tells if one costs 10 % less
#     benches/instructions/run.sh --update    writes the figures
#
# A count does not depend on what else the machine does. It depends on the compiler, on the processor's family (which
# copy routines are chosen) and, by less than 1 %, on the seeds of hash functions, which are drawn anew in every process.
set -euo pipefail
cd "$(dirname "$0")/../.."

rows="exact subset miss persisted"
figures=benches/instructions/figures.txt
tolerance=10

case "${1:-}" in
    "" | --update) ;;
    *)
        echo "usage: benches/instructions/run.sh [--update]" >&2
        exit 2
        ;;
esac

if ! command -v valgrind >/dev/null; then
    echo "valgrind is not installed; on Debian and Ubuntu: apt-get install valgrind" >&2
    exit 2
fi
cargo build --quiet --release --locked -p benches --bin hot_lookup
program=${CARGO_TARGET_DIR:-target}/release/hot_lookup
output=$(mktemp -d)
trap 'rm -r "$output"' EXIT

# Instructions of one lookup of this row.
count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect='hot_lookup::counted_*' \
        "$program" "$1" >"$output/lookups" 2>"$output/log" || { cat "$output/log" >&2; return 1; }
    local total
    total=$(sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$output/log")
    # Nothing is counted if callgrind does not find the functions.
    if [ "${total:-0}" = 0 ]; then
        cat "$output/log" >&2
        return 1
    fi
    echo $((total / $(cat "$output/lookups")))
}

compiler="$(rustc --version), $(uname -m)"

if [ "${1:-}" = --update ]; then
    {
        echo "# Instructions per lookup, written by benches/instructions/run.sh --update."
        echo "compiler $compiler"
        for row in $rows; do
            counted=$(count "$row")
            echo "$row $counted"
        done
    } >"$output/figures"
    cp "$output/figures" "$figures"
    cat "$figures"
    exit
fi

of=$(sed -n 's/^compiler //p' "$figures")
failed=
for row in $rows; do
    committed=$(awk -v row="$row" '$1 == row { print $2 }' "$figures")
    if [ -z "$committed" ]; then
        echo "$row: $figures has no figure; run benches/instructions/run.sh --update" >&2
        exit 1
    fi
    counted=$(count "$row")
    change=$(awk -v a="$counted" -v b="$committed" 'BEGIN { printf "%+.1f %%", (a / b - 1) * 100 }')
    echo "$row: $counted instructions per lookup, committed $committed, $change"
    if [ $((counted * 100)) -gt $((committed * (100 + tolerance))) ]; then
        failed=yes
        echo "    more than $tolerance % above the figure" >&2
    elif [ $((counted * 100)) -lt $((committed * (100 - tolerance))) ]; then
        echo "    more than $tolerance % below: lower the figure by benches/instructions/run.sh --update"
    fi
done
if [ "$of" != "$compiler" ]; then
    echo "note: the figures belong to $of; this is $compiler"
fi
if [ -n "$failed" ]; then
    echo "the hot lookup got slower: find out why, or, if it must be, run benches/instructions/run.sh --update" >&2
    exit 1
fi
