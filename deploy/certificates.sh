#!/bin/sh
# An authority of the broker's operator, and certificates for the broker and for organizations.
#
#   certificates.sh FOLDER BROKER-NAMES ORGANIZATION...
#   certificates.sh secrets DNS:kafka,IP:127.0.0.1 jiuquan chengdu
#
# What is there already is kept: to renew one, remove its file and run this again.
# An organization that does not want its key made elsewhere sends a request (CSR) instead.
set -eu
umask 077
folder=$1 names=$2
shift 2
mkdir -p "$folder"
cd "$folder"

if [ ! -e ca.key ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
        -subj "/CN=waystation-kafka-ca" -addext "keyUsage=critical,keyCertSign,cRLSign" \
        -keyout ca.key -out ca.pem
fi

issue() { # name extensions
    [ -e "$1.pem" ] && return
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
        -keyout "$1.key" -out "$1.csr"
    printf '%s\n' "$2" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 397 \
        -extfile "$1.ext" -out "$1.crt"
    cat "$1.key" "$1.crt" >"$1.pem"
    rm "$1.key" "$1.csr" "$1.ext" "$1.crt"
}

issue broker "subjectAltName=$names"
for organization in "$@"; do
    issue "$organization" "extendedKeyUsage=clientAuth"
done
