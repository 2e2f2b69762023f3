#!/bin/sh
# Upgrades installed packages: what sudo lets a NEXUSMON agent run, and the only thing. See docs/sandbox.md.
#
#   install -o root -g root -m 0755 nexusmon-upgrade.sh /usr/local/sbin/nexusmon-upgrade
#
# The agent's user may give it anything, so it holds its arguments to what they have to be by itself.
set -eu
umask 022
LC_ALL=C
PATH=/usr/sbin:/usr/bin:/sbin:/bin
DEBIAN_FRONTEND=noninteractive
export LC_ALL PATH DEBIAN_FRONTEND

refuse() {
    echo "nexusmon-upgrade: $*" >&2
    exit 2
}

if [ $# -lt 1 ] || [ $# -gt 20 ]; then
    refuse "give it 1 to 20 names of packages"
fi
for name in "$@"; do
    # apt takes `name-` for "remove it" and `name+` for "install it", and what begins with `-` for an option.
    case $name in
    '' | [!a-z0-9]* | *[!a-z0-9.+-]* | *[+-]) refuse "not the name of a package: $name" ;;
    esac
    # And a name that no package has for a pattern.
    if ! dpkg-query --show --showformat='${db:Status-Status}\n' -- "$name" 2>/dev/null | grep -qx installed; then
        refuse "not installed: $name"
    fi
done
exec apt-get --yes --only-upgrade install -- "$@"
