"""AsyncAPI: describes the topics and what stands in them, from the code that writes them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import yaml

from sync.carrier import Parcel
from sync.cloudevents import MEDIA_TYPE, event_type, headers
from sync.envelope import BATCH_BYTES, Batch, LaneReceipt, Message, Want
from sync.kafka_settings import KafkaSettings

MADE = "# Made by `python -m tests.support.reference`; do not edit.\n"
MESSAGES: tuple[type[Message], ...] = (Batch, LaneReceipt, Want)
DEFAULT = KafkaSettings(servers=("kafka.example:9094",))
TEMPLATE = DEFAULT.topic
SENT = datetime.fromisoformat("2026-01-05T09:00:00+08:00")

HEADERS = {
    "ce_specversion": "The version of CloudEvents.",
    "ce_id": "SHA-256 of the value, in hex: equal ids are equal bytes.",
    "ce_source": "The sending organization. A claim: the signature inside the value proves it.",
    "ce_type": "Which of the three messages it is.",
    "ce_subject": "The organization it is for.",
    "ce_time": "When the sender handed it to its client, by the sender's clock.",
    "ce_sequence": "The lane number of the batch's last entry, padded so that it sorts as text.",
    "ce_traceparent": "The W3C trace context in which the message began.",
    "traceparent": "The same, where tracers of Kafka clients look.",
    "content-type": "The media type of the value.",
}
PATTERNS = {
    "ce_id": "^[0-9a-f]{64}$",
    "ce_source": "^urn:waystation:[a-z][a-z0-9-]{1,39}$",
    "ce_subject": "^[a-z][a-z0-9-]{1,39}$",
    "ce_sequence": "^[0-9]{16}$",
    "ce_traceparent": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
    "traceparent": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
}
FIXED = {"ce_specversion": "1.0", "content-type": MEDIA_TYPE}


def document() -> str:
    """The document, as YAML."""
    return MADE + yaml.safe_dump(_document(), sort_keys=False, allow_unicode=True, width=100)


def _document() -> dict[str, Any]:
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "驿站 Waystation lanes over Kafka",
            "version": "1",
            "description": (
                "A topic is one lane: one organization writes it, one reads it, one partition "
                "keeps the order. The value of a message is signed by its sender; the headers are "
                "for strangers and operators, and no node believes them."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": MEDIA_TYPE,
        "servers": _servers(),
        "channels": {"lane": _channel()},
        "operations": {
            "send": _operation("send", "What a node writes: it needs WRITE on this topic alone."),
            "receive": _operation("receive", "What a node reads: it needs READ on its own topics."),
        },
        "components": {
            "messages": {kind.KIND: _message(kind) for kind in MESSAGES},
            "schemas": {f"{kind.KIND}Body": _schema(kind) for kind in MESSAGES},
            "securitySchemes": {
                "certificate": {"type": "X509", "description": "TLS with a client certificate."},
                "password": {"type": "scramSha512", "description": "SCRAM-SHA-512 over TLS."},
            },
        },
    }


def _servers() -> dict[str, Any]:
    return {
        name: {
            "host": DEFAULT.servers[0],
            "protocol": "kafka-secure",
            "description": f"The broker that the organizations share, entered by {name}.",
            "security": [{"$ref": f"#/components/securitySchemes/{name}"}],
        }
        for name in ("certificate", "password")
    }


def _channel() -> dict[str, Any]:
    options = DEFAULT.topic_options()
    configs = options["configs"]
    return {
        "address": TEMPLATE,
        "title": "通道 lane",
        "description": (
            "Created by the node that may, else by an administrator; besides what is bound here "
            + ", ".join(f"{name}={value}" for name, value in configs.items() if "." in name)
            + "."
        ),
        "parameters": {
            "destination": {"description": "The code of the organization that reads."},
            "source": {"description": "The code of the organization that writes."},
        },
        "messages": {
            kind.KIND: {"$ref": f"#/components/messages/{kind.KIND}"} for kind in MESSAGES
        },
        "bindings": {
            "kafka": {
                "topic": TEMPLATE,
                "partitions": options["num_partitions"],
                "topicConfiguration": {
                    "cleanup.policy": [configs["cleanup.policy"]],
                    "retention.ms": int(configs["retention.ms"]),
                    "retention.bytes": int(configs["retention.bytes"]),
                    "max.message.bytes": int(configs["max.message.bytes"]),
                },
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operation(action: str, summary: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/lane"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/lane/messages/{kind.KIND}"} for kind in MESSAGES],
    }


def _message(kind: type[Message]) -> dict[str, Any]:
    return {
        "name": event_type(kind.KIND),
        "title": (kind.__doc__ or "").splitlines()[0],
        "contentType": MEDIA_TYPE,
        "headers": _headers(kind),
        "payload": {
            "type": "string",
            "maxLength": BATCH_BYTES,
            "pattern": f"^waystation/{kind.KIND}/v1 [a-z][a-z0-9-]{{1,39}} [A-Za-z0-9+/=]+\\n\\{{",
            "description": (
                "One line: kind, sender and Ed25519 signature in base64, and a line feed. Then a "
                f"JSON body, described by #/components/schemas/{kind.KIND}Body. Signed is "
                f"`waystation/{kind.KIND}/v1`, a line feed, and the body."
            ),
        },
        "bindings": {"kafka": {"bindingVersion": "0.5.0"}},
    }


def _headers(kind: type[Message]) -> dict[str, Any]:
    """The headers that the code writes: no more can be described, and none be left out."""
    written = headers(Parcel(kind.KIND, b"", "x", 0, 0), "x", SENT)
    properties = {}
    for name, _ in written:
        said: dict[str, Any] = {"type": "string", "description": HEADERS[name]}
        if name in PATTERNS:
            said["pattern"] = PATTERNS[name]
        fixed = {**FIXED, "ce_type": event_type(kind.KIND)}
        properties[name] = said | ({"const": fixed[name]} if name in fixed else {})
    return {"type": "object", "required": list(properties), "properties": properties}


def _schema(kind: type[Message]) -> dict[str, Any]:
    made = kind.model_json_schema(
        ref_template=f"#/components/schemas/{kind.KIND}Body/$defs/{{model}}"
    )
    plain: dict[str, Any] = json.loads(json.dumps(made))
    return plain
