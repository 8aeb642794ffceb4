"""重来: a recorder that outlives its tables' rows, told to look at them again."""

from __future__ import annotations

from typing import Any

from api.storage.recorder import GroupRecorder
from api.storage.tail import Tail
from api.storage.tree import begin
from domain.tiles import Growth
from domain.tree import ours
from tests.support.naive import data


def cut_back(conn: Any) -> None:
    """Let a small ledger's tree be that of the entries still there, as in an older backup."""
    growth = Growth.empty(ours()).and_then(data(conn))
    assert not growth.filled
    conn.execute(
        "UPDATE tree_head SET size = %s, peaks = %s", (growth.size, b"".join(growth.peaks))
    )


def begin_anew(recorder: GroupRecorder) -> None:
    """As when its process starts, on what the database holds now."""
    recorder._tail = Tail()  # noqa: SLF001
    with recorder._database.connection() as conn:  # noqa: SLF001
        begin(conn)
        recorder.look_at_tree(conn)
