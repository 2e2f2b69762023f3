#!/usr/bin/env bash
# Installs NEXUSMON on a machine with systemd: programs, users, folders, units. Downloads nothing. Safe to run again.
#
#   deploy/install.sh --coordinator --agent            # both, from target/release
#   deploy/install.sh --agent --from /tmp/unpacked     # a machine that only works
#   deploy/install.sh --coordinator --dry-run          # say what would be done
#   deploy/install.sh --agent --uninstall              # data and configuration stay; --purge removes them too
#
# Options: --from FOLDER    where the programs lie (default: target/release of this source tree)
#          --root FOLDER    install below this folder instead of /, and start nothing: for images and packages
#          --no-start       install, but neither enable nor start
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

usage() {
    sed -n '2,12p' "$0" | sed 's/^# \{0,1\}//'
    exit "${1:-2}"
}

parts=()
from=$here/../target/release
root=
dry=
start=yes
act=install
purge=
while [ $# -gt 0 ]; do
    case "$1" in
    --coordinator) parts+=(nexusmon) ;;
    --agent) parts+=(nexusmon-agent) ;;
    --from) from=${2:?--from needs a folder} && shift ;;
    --root) root=${2:?--root needs a folder} && shift ;;
    --dry-run) dry=yes ;;
    --no-start) start= ;;
    --uninstall) act=uninstall ;;
    --purge) purge=yes ;;
    -h | --help) usage 0 ;;
    *) echo "install: unknown option $1" >&2 && usage ;;
    esac
    shift
done
[ "${#parts[@]}" -gt 0 ] || usage
[ -z "$root" ] || start=

fail() {
    echo "install: $*" >&2
    exit 1
}

# run COMMAND…: does it, or says it
run() {
    if [ -n "$dry" ]; then
        echo "would run: $*"
    else
        "$@"
    fi
}

# Whether systemd runs here and is meant.
live() {
    [ -z "$root" ] && [ -d /run/systemd/system ]
}

# put MODE SOURCE TARGET: only if it differs, so that times and open files stay as they are
put() {
    if ! cmp -s "$2" "$root$3"; then
        echo "install: $3"
        run install -D -m "$1" "$2" "$root$3"
    fi
}

# seed MODE TARGET: standard input, unless the file is there
seed() {
    if [ -e "$root$2" ]; then
        cat >/dev/null
        return
    fi
    echo "install: $2 (new)"
    if [ -n "$dry" ]; then
        cat >/dev/null
        return
    fi
    (umask 077 && cat >"$root$2.new")
    chmod "$1" "$root$2.new"
    mv "$root$2.new" "$root$2"
}

random() {
    head -c 32 /dev/urandom | base64 | tr -d '\n'
    echo
}

configuration_of_nexusmon() {
    seed 400 /etc/nexusmon/credentials/master-key < <(random)
    seed 400 /etc/nexusmon/credentials/operator-key < <(random | tr '+/' '-_' | tr -d '=')
    seed 644 /etc/nexusmon/nexusmon.toml <<'TOML'
# Settings of the coordinator: `nexusmon serve --help` lists all of them. Secrets do not belong here.
http = "127.0.0.1:7300"
# For agents on other machines: 0.0.0.0:7301, and the name they reach this one by.
grpc = "127.0.0.1:7301"
#agent_address = "nexus.example:7301"
#public_url = "https://nexus.example"
#trusted_proxies = ["127.0.0.1"]
log_format = "json"
TOML
}

configuration_of_nexusmon_agent() {
    seed 644 /etc/nexusmon-agent/agent.toml <<'TOML'
# Settings of the agent: `nexusmon-agent run --help` lists all of them.
#slots = 4
#max_rank = "C"
#labels = { room = "attic" }
log_format = "json"
TOML
}

install_part() {
    local part=$1
    [ -x "$from/$part" ] || fail "$from/$part is not there: build it (cargo build --release), or name --from"
    put 755 "$from/$part" "/usr/local/bin/$part"
    put 644 "$here/systemd/$part.sysusers" "/usr/lib/sysusers.d/$part.conf"
    put 644 "$here/systemd/$part.tmpfiles" "/usr/lib/tmpfiles.d/$part.conf"
    put 644 "$here/systemd/$part.service" "/etc/systemd/system/$part.service"
    put 644 "$here/../docs/operations.md" /usr/local/share/doc/nexusmon/operations.md
    run systemd-sysusers "--root=${root:-/}" "$part.conf"
    run systemd-tmpfiles --create "--root=${root:-/}" "$part.conf"
    "configuration_of_${part//-/_}"
    if live && [ -n "$start" ]; then
        run systemctl daemon-reload
        # Restarting is what makes an upgrade take effect; an agent goes on with what it holds meanwhile.
        run systemctl enable "$part.service"
        run systemctl restart "$part.service"
    fi
}

uninstall_part() {
    local part=$1 file
    if live; then
        run systemctl disable --now "$part.service" || true
    fi
    for file in "/usr/local/bin/$part" "/usr/lib/sysusers.d/$part.conf" "/usr/lib/tmpfiles.d/$part.conf" \
        "/etc/systemd/system/$part.service"; do
        if [ -e "$root$file" ]; then
            echo "install: removing $file"
            run rm -f "$root$file"
        fi
    done
    if live; then
        run systemctl daemon-reload
    fi
    if [ -n "$purge" ]; then
        for file in "/var/lib/$part" "/etc/$part"; do
            echo "install: removing $file for good"
            run rm -rf "${root:?}$file"
        done
    elif [ -d "$root/var/lib/$part" ]; then
        echo "install: /var/lib/$part and /etc/$part stay (--purge removes them)"
    fi
}

command -v systemd-sysusers >/dev/null || fail "this machine has no systemd; see docs/hosting.md for containers"
if [ -z "$root" ]; then
    [ "$(id -u)" = 0 ] || [ -n "$dry" ] || fail "run it as root"
else
    mkdir -p "$root/etc/systemd/system"
fi
for part in "${parts[@]}"; do
    "${act}_part" "$part"
done
[ "$act" = install ] || exit 0

echo
for part in "${parts[@]}"; do
    case "$part" in
    nexusmon)
        echo "Log in at http://localhost:7300 with the operator key: cat /etc/nexusmon/credentials/operator-key"
        echo "Keep a copy of /etc/nexusmon/credentials/master-key elsewhere: no backup can be started without it."
        ;;
    nexusmon-agent)
        echo "Let it join (\`nexusmon agent invite --name NAME\` at the coordinator prints the token), then start it:"
        echo "    runuser -u nexusmon-agent -- nexusmon-agent join nxj1.… --data-dir /var/lib/nexusmon-agent"
        echo "    systemctl restart nexusmon-agent && nexusmon-agent doctor --data-dir /var/lib/nexusmon-agent"
        ;;
    esac
done
