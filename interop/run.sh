#!/usr/bin/env bash
# The interop suite: installs the peers of peers/README.md under the target folder, then runs the tests.
#
#     interop/run.sh [--peers-only] [ARGUMENTS OF cargo test]
#
# A language that is not installed leaves its peer out; the tests then say so, or fail if CI=true.
# INTEROP_RUNS=10 runs the contention tests at full length, INTEROP_WRITE_DOCS=1 writes the matrix into docs/interop.md.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/interop"
INTEROP_PEERS=$(cd "$target/interop" && pwd)
export INTEROP_PEERS
sources=$PWD/interop/peers

# Whether the program is there; whoever lacks it is told what that leaves out.
have() {
    command -v "$1" >/dev/null || {
        echo "$1 is not installed: $2 takes no part" >&2
        return 1
    }
}

# Whether what was installed as $1 is older than one of the files that say what to install.
outdated() {
    local installed=$INTEROP_PEERS/$1/.installed
    shift
    [ ! -e "$installed" ] || [ -n "$(find "$@" -newer "$installed" -print -quit)" ]
}

install_python() {
    local environment=$INTEROP_PEERS/$1 requirements=$sources/python/$2
    outdated "$1" "$requirements" || return 0
    python3 -m venv "$environment"
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
    touch "$environment/.installed"
}

install_node() {
    outdated node "$sources/node/package-lock.json" || return 0
    mkdir -p "$INTEROP_PEERS/node"
    cp "$sources"/node/package*.json "$INTEROP_PEERS/node"
    # The native keyring of the extensions, which cannot be built everywhere, takes no part.
    (cd "$INTEROP_PEERS/node" && npm ci --ignore-scripts --no-audit --no-fund --loglevel error)
    touch "$INTEROP_PEERS/node/.installed"
}

install_go() {
    mkdir -p "$INTEROP_PEERS/go"
    (cd "$sources/go" && go build -mod=readonly -o "$INTEROP_PEERS/go/peer" .)
}

install_java() {
    outdated java "$sources/java" || return 0
    mkdir -p "$INTEROP_PEERS/java"
    mvn --quiet --batch-mode --file "$sources/java/pom.xml" -Dpeer.output="$INTEROP_PEERS/java" package
    touch "$INTEROP_PEERS/java/.installed"
}

# A program that contains MSAL.NET and its runtime may lie ready beside the repository, so that no .NET is needed.
install_net() {
    local beside=../shared/peers/net
    [ -z "${NET_PEER:-}" ] && [ ! -x "$beside/net-peer" ] || return 0
    [ -e "$beside/net-peer.csproj" ] && have dotnet MSAL.NET || return 0
    dotnet publish --verbosity quiet -r linux-x64 -o "$INTEROP_PEERS/net" "$beside/net-peer.csproj"
}

if have python3 "MSAL Python"; then
    install_python python-excl requirements-excl.txt
    install_python python-portalocker requirements-portalocker.txt
    install_python python-azure requirements-azure.txt
fi
if have npm "MSAL Node"; then install_node; fi
if [ -d "$sources/go" ] && have go "MSAL Go"; then install_go; fi
if [ -d "$sources/java" ] && have mvn "MSAL Java"; then install_java; fi
install_net

if [ "${1:-}" = --peers-only ]; then exit; fi
# In CI none may be missing.
if [ "${CI:-}" = true ]; then export INTEROP_REQUIRE=1; fi
export CARGO_PROFILE_DEV_DEBUG=${CARGO_PROFILE_DEV_DEBUG:-0}
exec cargo test --locked -p interop "$@"
