"""陈旧标记: says of every row that is shown which stopped stream it may lag behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from api.node import Node
from projections.projection import Row

REASONS_MAX = 5
"""Stopped streams named on one row."""

BESIDE = {"custody": ("policy.",), "transfers": ("policy.",)}
"""What is shown with a read model that it does not read: whose turn it is depends on the policy."""

OF_ROW: dict[str, tuple[type, tuple[str, ...]]] = {
    "outflows": (UUID, ("outflow",)),
    "members": (UUID, ("person", "member", "subject")),
    "origins": (str, ("origin",)),
    "streams": (UUID, ("stream", "inflow")),
}
"""By kind of id, its form and the columns of a row that hold one."""


def mark(node: Node, model: str, key: str, rows: Sequence[Row]) -> dict[str, Any]:
    """Give each row its `stale`, and return that of the page.

    A row names the stopped streams that concern its absence, its member or itself, and a stopped
    policy of its origin. The page counts every stopped stream of the read model, for what a stream
    would have opened is in no row; and it says whether the read model itself has stopped.
    """
    projection = node.projector.projections[model]
    ids: dict[str, list[Any]] = {
        # The person of a history row is an officer's name, that of a member's row an id.
        kind: list({row[n] for row in rows for n in names if isinstance(row.get(n), form)})
        for kind, (form, names) in OF_ROW.items()
    }
    ids["streams"] += [row[key] for row in rows if isinstance(row[key], UUID)]
    topics = [*projection.topics, *BESIDE.get(model, ())]
    stopped, found = node.lanes.about(topics, ids)
    for row in rows:
        row["stale"] = [_told(each) for each in found if _concerns(each, row, key)][:REASONS_MAX]
    return {"stopped_streams": stopped, "read_model": held(node, model)}


def held(node: Node, model: str) -> dict[str, Any] | None:
    """Why a read model has stopped, and at which fact; None while it works."""
    because = node.projector.stopped.get(model)
    if because is None:
        return None
    entry = node.projector.held_by.get(model)
    if entry is None:
        return {"name": model, "because": because}
    return {
        "name": model,
        "because": because,
        "position": entry.position,
        "stream": entry.record.originator_id,
        "version": entry.record.originator_version,
        "topic": entry.record.topic,
        "since": entry.entered_at,
    }


def _concerns(stopped: dict[str, Any], row: Row, key: str) -> bool:
    pairs = (
        ("outflow", "outflow"),
        ("subject", "person"),
        ("subject", "member"),
        ("subject", "subject"),
        ("stream", key),
        ("stream", "inflow"),
    )
    for theirs, ours in (*pairs, ("stream", "stream")):
        if stopped[theirs] is not None and stopped[theirs] == str(row.get(ours)):
            return True
    of_policy = str(stopped["topic"]).startswith("policy.")
    return of_policy and bool(stopped["peer"] == row.get("origin"))


def _told(stopped: dict[str, Any]) -> dict[str, Any]:
    names = ("id", "peer", "stream", "topic", "reason", "at")
    return {name: stopped[name] for name in names}
