"""Kafka 设置: what an operator decides about lanes over Kafka, and what topics and clients get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sync.envelope import BATCH_BYTES

MESSAGE_MAX = BATCH_BYTES * 2 + 64 * 1024
"""Bytes of one record batch: the largest message a receiver reads, with Kafka's own around it."""

RETAINED_BYTES = 1 << 30
SEGMENT_BYTES = 128 << 20

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


@dataclass(frozen=True, kw_only=True)
class KafkaSettings:
    """What an operator decides; `security` is handed to kafka-python as it is."""

    topic: str = "sync.{destination}.{source}"
    """Without `{source}` a destination's peers share a topic; then only signatures part them."""
    replication_factor: int = -1
    """-1 leaves it to the broker's `default.replication.factor`, which is 1 unless raised."""
    retention_s: int = 7 * 24 * 3600
    security: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def topic_options(self) -> dict[str, Any]:
        """How a lane's topic is made."""
        configs = {
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention_s * 1000),
            "retention.bytes": str(RETAINED_BYTES),
            "segment.bytes": str(SEGMENT_BYTES),
            "max.message.bytes": str(MESSAGE_MAX),
            # A compressed bomb bursts in the broker, which then measures it, not in our consumer.
            "compression.type": "uncompressed",
            "message.timestamp.type": "LogAppendTime",
        }
        return {
            "num_partitions": 1,
            "replication_factor": self.replication_factor,
            "configs": configs,
        }
