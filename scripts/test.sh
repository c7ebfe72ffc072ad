#!/usr/bin/env bash
# The whole test suite, as a contributor runs it: under ten minutes on two cores, cold.
#
#     scripts/test.sh          everything that needs nothing but the toolchain, and the store in Redis where redis-server is
#     scripts/test.sh --all    and the long runs: every figure that README.md and CHANGELOG.md promise, at full length, and
#                              the MSAL libraries of five languages beside us (interop/run.sh)
set -euo pipefail
cd "$(dirname "$0")/.."

all=
for argument in "$@"; do
    case "$argument" in
        --all) all=yes ;;
        *)
            echo "usage: scripts/test.sh [--all]" >&2
            exit 2
            ;;
    esac
done

# Debug information doubles the build and is of no use to a passing test.
export CARGO_PROFILE_DEV_DEBUG=${CARGO_PROFILE_DEV_DEBUG:-0}

# The libraries of other languages are installed for the long runs only.
# With `metrics`, as the tests of cache-redis have it; without it, further below and in release.
cargo test --workspace --exclude interop --locked --features cache-core/metrics

if [ -n "$all" ]; then
    # Stores do the same on a runtime's blocking pool as inline. And caches without `metrics`.
    cargo test --locked -p cache-core -p cache-file -p cache-sqlite \
        --features cache-core/tokio,cache-file/tokio,cache-sqlite/tokio
    # The promises about processes, at full length and at full speed.
    export TOKEN_CACHE_FULL_LENGTH=1
    cargo test --release --locked -p cache-file --test promises -- --nocapture
    cargo test --release --locked -p cache-sqlite --test promises --test power_loss -- --nocapture
    cargo test --release --locked -p cache-redis --test conformance --test promises --test merging --test large -- --nocapture
    cargo test --release --locked -p cache-redis --test drill -- --nocapture --test-threads 1
    unset TOKEN_CACHE_FULL_LENGTH
    cargo run --release --locked -p cache-cli -- demo
    # Beside the MSAL libraries of five languages, which this installs.
    interop/run.sh
fi
