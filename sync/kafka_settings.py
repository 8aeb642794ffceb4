"""Kafka 设置: what an operator decides about lanes over Kafka, and what topics and clients get."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from domain.values import Value
from sync.envelope import BATCH_BYTES

MESSAGE_MAX = BATCH_BYTES * 2 + 64 * 1024
"""Bytes of one record batch: the largest message a receiver reads, with Kafka's own around it."""

RETAINED_BYTES = 1 << 30
SEGMENT_BYTES = 128 << 20

TOPIC_MAX = 249
"""Characters of a topic's name, by Kafka's own rule."""

SERVERS_MAX = 16

ANSWER_MS, BLOCK_MS = 5_000, 2_000
"""How long a request, and a thread that needs a topic's whereabouts, wait for the broker."""

DELIVERY_MS = 10_000
"""How long a message is tried before the lane is told, and starts over."""

COMMON: dict[str, Any] = {
    "request_timeout_ms": ANSWER_MS,
    "bootstrap_timeout_ms": ANSWER_MS,
    "reconnect_backoff_max_ms": BLOCK_MS,
}

PRODUCER: dict[str, Any] = {
    "acks": "all",
    # An idempotent producer that is denied one topic fails every other one from then on.
    "enable_idempotence": False,
    "max_in_flight_requests_per_connection": 1,
    "delivery_timeout_ms": DELIVERY_MS,
    "max_block_ms": BLOCK_MS,
    "linger_ms": 0,
    "batch_size": BATCH_BYTES,
    "allow_auto_create_topics": False,
    "metrics_enabled": False,
}

CONSUMER: dict[str, Any] = {
    "group_id": None,
    "enable_auto_commit": False,
    # Where to read is decided by us; the client must not skip to an end by itself.
    "auto_offset_reset": "none",
    "fetch_min_bytes": 1,
    "fetch_max_wait_ms": 500,
    "max_poll_records": 50,
    "max_partition_fetch_bytes": MESSAGE_MAX,
    "fetch_max_bytes": MESSAGE_MAX * 16,
    "allow_auto_create_topics": False,
    "metrics_enabled": False,
}

_SIDES = ("destination", "source")
_LONGEST = dict.fromkeys(_SIDES, "x" * 40)


def _port(server: str) -> str:
    if not 1 <= int(server.rpartition(":")[2]) <= 65535:  # noqa: PLR2004 - of TCP.
        raise ValueError("端口须为 1 至 65535。A port is 1 to 65535.")
    return server


def _template(topic: str) -> str:
    """Refuse a template that names no destination, or makes no topic of Kafka's."""
    if "{destination}" not in topic:
        raise ValueError("须含 {destination}。It must hold {destination}.")
    try:
        made = topic.format(**_LONGEST)
    except (KeyError, IndexError, ValueError):
        raise ValueError(
            "只能用 {destination} 和 {source}。It may hold {destination} and {source} alone."
        ) from None
    if len(made) > TOPIC_MAX or not re.fullmatch(r"[a-zA-Z0-9._-]+", made):
        raise ValueError(
            f"主题名只能用字母、数字和 . _ -，不超过 {TOPIC_MAX} 个字符。"
            f"A topic's name holds letters, digits and . _ - alone, {TOPIC_MAX} at most."
        )
    return topic


def _copies(number: int) -> int:
    if number == 0:
        raise ValueError("须为 -1，或至少 1。It is -1, or 1 and more.")
    return number


Server = Annotated[
    str, StringConstraints(pattern=r"^[^\s/,]{1,255}:\d{1,5}$"), AfterValidator(_port)
]
Security = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"]


class KafkaSettings(Value):
    """What an operator decides; secrets are in files, of which this holds the names."""

    servers: Annotated[tuple[Server, ...], Field(min_length=1, max_length=SERVERS_MAX)]
    security: Security = "PLAINTEXT"
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    sasl_mechanism: Mechanism | None = None
    username: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    password_file: Path | None = None
    topic: Annotated[str, AfterValidator(_template)] = "sync.{destination}.{source}"
    """Without `{source}` a destination's peers share a topic; then only signatures part them."""
    replication_factor: Annotated[int, Field(ge=-1, le=32767), AfterValidator(_copies)] = -1
    """-1 leaves it to the broker's `default.replication.factor`, which is 1 unless raised."""
    retention_days: Annotated[int, Field(ge=1, le=366)] = 7

    @property
    def encrypted(self) -> bool:
        """Whether TLS is spoken."""
        return self.security.endswith("SSL")

    @property
    def with_password(self) -> bool:
        """Whether the node gives a name and a password."""
        return self.security.startswith("SASL")

    def within(self, folder: Path) -> KafkaSettings:
        """The same, with the files of a folder: a path in node.json may be relative to it."""
        names = ("ca_file", "certificate_file", "key_file", "password_file")
        files = {name: folder / path for name in names if (path := getattr(self, name))}
        return self.model_copy(update=files)

    def topic_options(self) -> dict[str, Any]:
        """How a lane's topic is made."""
        configs = {
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention_days * 24 * 3600 * 1000),
            "retention.bytes": str(RETAINED_BYTES),
            "segment.bytes": str(SEGMENT_BYTES),
            "max.message.bytes": str(MESSAGE_MAX),
            # A compressed bomb bursts in the broker, which then measures it, not in our consumer.
            "compression.type": "uncompressed",
            "message.timestamp.type": "LogAppendTime",
        }
        if self.replication_factor > 0:
            # Acknowledged is what one broker may be lost after, where there are three copies.
            configs["min.insync.replicas"] = str(max(1, self.replication_factor - 1))
        return {
            "num_partitions": 1,
            "replication_factor": self.replication_factor,
            "configs": configs,
        }
