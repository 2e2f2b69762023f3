#!/usr/bin/env bash
# Installs what building, running or testing needs and this machine lacks. Safe to run again: it does nothing then.
#   deploy/setup.sh run     what `make run` needs
#   deploy/setup.sh test    what `make test` needs as well
set -euo pipefail
cd "$(dirname "$0")/.."

purpose=${1:-run}
case "$purpose" in
run | test) ;;
*)
    echo "usage: deploy/setup.sh run|test" >&2
    exit 2
    ;;
esac

packages=()
# need COMMAND PACKAGE REASON
need() {
    if ! command -v "$1" >/dev/null 2>&1; then
        echo "setup: $2 is missing: $3"
        packages+=("$2")
    fi
}

need cc build-essential "compiles SQLite and the TLS library"
need bwrap bubblewrap "confines tasks (sandbox profile \`strict\`)"
if [ "$purpose" = test ]; then
    need python3 python3 "runs the tests of the plugin package"
    if ! python3 -c 'import ensurepip, venv' >/dev/null 2>&1; then
        echo "setup: python3-venv is missing: gives the Python linters a place of their own"
        packages+=(python3-venv)
    fi
    if ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
        echo "setup: postgresql is missing: every store test runs on it, in a private cluster of its own"
        packages+=(postgresql)
    fi
    need systemd-analyze systemd "checks the service units"
    need unshare util-linux "gives tests a disk that is full and a kernel without namespaces"
    need haproxy haproxy "stands before several coordinators, as in docs/operations.md"
    need openssl openssl "makes keys there"
    need chromium chromium "opens the page as a user would"
fi

if [ "${#packages[@]}" -gt 0 ]; then
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
            as_root=(sudo -n)
        else
            echo "setup: installing needs root. Run this once, then try again:" >&2
            echo "    sudo apt-get update && sudo apt-get install -y --no-install-recommends ${packages[*]}" >&2
            exit 1
        fi
    fi
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "setup: no apt-get here. Install these by this system's own means, then try again: ${packages[*]}" >&2
        exit 1
    fi
    echo "setup: installing ${packages[*]}"
    "${as_root[@]}" apt-get update -q
    # A new PostgreSQL package starts a cluster of its own; the tests do not want it.
    if [ ! -e /etc/postgresql-common/createcluster.conf ] && [[ " ${packages[*]} " == *" postgresql "* ]]; then
        "${as_root[@]}" mkdir -p /etc/postgresql-common
        echo "create_main_cluster = false" | "${as_root[@]}" tee /etc/postgresql-common/createcluster.conf >/dev/null
    fi
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -q --no-install-recommends "${packages[@]}"
fi

if ! command -v cargo >/dev/null 2>&1; then
    echo "setup: cargo is missing. Install Rust with rustup, then try again." >&2
    exit 1
fi
if [ "$purpose" = test ]; then
    if ! command -v node >/dev/null 2>&1; then
        echo "setup: node is missing. Install Node.js 20 or newer, then try again." >&2
        exit 1
    fi
    if ! command -v s3s-fs >/dev/null 2>&1 && [ ! -x "${CARGO_HOME:-$HOME/.cargo}/bin/s3s-fs" ]; then
        echo "setup: installing s3s-fs: an S3-compatible store on loopback, for several coordinators"
        cargo install --locked s3s-fs --version 0.14.1 --features binary
    fi
    if ! cargo nextest --version >/dev/null 2>&1; then
        echo "setup: installing cargo-nextest: runs every test in a process of its own"
        cargo install --locked cargo-nextest
    fi
fi
