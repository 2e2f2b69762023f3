#!/bin/sh
# Makes what the services of docker-compose.yml trust each other by: once, at random, each file readable by its user alone.
#   keys.sh FOLDER [OWNER:GROUP:MODE:FOLDER]…    as root it also gives files and the further folders to who uses them
# There are no default secrets. Running it again changes nothing.
set -eu
umask 077
folder=${1:?usage: keys.sh FOLDER [OWNER:GROUP:MODE:FOLDER]…}
shift
coordinator=65532:65532

# random BYTES: as URL-safe text
random() {
    head -c "$1" /dev/urandom | base64 | tr -d '\n=' | tr '+/' '-_'
}

# keep NAME OWNER TEXT: only if it is not there; moved into place whole
keep() {
    if [ ! -e "$folder/$1" ]; then
        printf '%s\n' "$3" >"$folder/$1.new"
        if [ "$(id -u)" = 0 ]; then
            chown "$2" "$folder/$1.new"
        fi
        chmod 400 "$folder/$1.new"
        mv "$folder/$1.new" "$folder/$1"
        echo "made $1"
    fi
}

mkdir -p "$folder"
chmod 711 "$folder"
keep master_key "$coordinator" "$(head -c 32 /dev/urandom | base64 | tr -d '\n')"
keep operator_key "$coordinator" "$(random 24)"
keep postgres_password 0:0 "$(random 24)"
keep database_url "$coordinator" "postgres://nexusmon:$(cat "$folder/postgres_password")@database:5432/nexusmon"
keep s3_access_key "$coordinator" "nexusmon-$(random 6)"
keep s3_secret_key "$coordinator" "$(random 30)"

for given in "$@"; do
    path=${given#*:*:*:}
    owner=${given%":$path"}
    mode=${owner##*:}
    chown "${owner%:*}" "$path"
    chmod "$mode" "$path"
done
