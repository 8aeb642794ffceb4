#!/bin/sh
# Makes the topics of lanes, and gives each organization the two rights it needs.
#
#   setup.sh SERVER ONE:OTHER [ONE:OTHER ...]      once again: what is there stays as it is
#   COPIES=3 setup.sh ...                          where the cluster has three brokers
#
# Run it as the broker's operator, when two organizations have enrolled each other.
set -eu
server=$1
shift

topic() { # destination source
    kafka-topics.sh --bootstrap-server "$server" --create --if-not-exists \
        --topic "sync.$1.$2" --partitions 1 --replication-factor "${COPIES:-1}" \
        --config cleanup.policy=delete \
        --config retention.ms=604800000 \
        --config retention.bytes=1073741824 \
        --config segment.bytes=134217728 \
        --config max.message.bytes=589824 \
        --config min.insync.replicas="$((${COPIES:-1} > 1 ? ${COPIES:-1} - 1 : 1))" \
        --config compression.type=uncompressed \
        --config message.timestamp.type=LogAppendTime
}

write() { # destination source
    kafka-acls.sh --bootstrap-server "$server" --add \
        --allow-principal "User:$2" --operation Write --topic "sync.$1.$2"
}

read_own() { # organization
    kafka-acls.sh --bootstrap-server "$server" --add \
        --allow-principal "User:$1" --operation Read \
        --topic "sync.$1." --resource-pattern-type prefixed
}

for pair in "$@"; do
    one=${pair%%:*} other=${pair#*:}
    topic "$one" "$other"
    topic "$other" "$one"
    write "$one" "$other"
    write "$other" "$one"
    read_own "$one"
    read_own "$other"
done
