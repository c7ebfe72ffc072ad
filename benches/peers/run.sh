#!/usr/bin/env bash
# Measures this toolkit beside its peers and writes docs/performance.md with its plots: see README.md.
#
#     benches/peers/run.sh [--quick] [OPTIONS]        --help lists the options
set -euo pipefail
exec python3 "$(dirname "$0")/compare.py" "$@"
