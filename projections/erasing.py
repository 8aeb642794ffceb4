"""清除: empties the rows of read models of what is closed, under the locks that projectors take."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from domain.values import DataClass
from projections import phones
from projections.shared import SHARED, Shared
from projections.tables import NEXT

HOLDING = tuple(shared for shared in SHARED if shared.personal)
"""The tables that hold what a person's keys open, with the class of each column."""

CLASSES = {name: kind for shared in HOLDING for name, kind in shared.personal.items()}
"""By column, whatever the table, the class of what it holds."""

MODELS = (*dict.fromkeys(shared.projection.name for shared in HOLDING), phones.Phones.name)

TABLES = (*(shared.name for shared in HOLDING), phones.INDEX.name)
"""Every table of a read model that says something of a person which an erasure takes back."""


_UNMARK = "DELETE FROM phone_index{} WHERE stream = ANY(%s)"


def empty(conn: Any, streams: Collection[UUID], classes: Iterable[DataClass]) -> None:
    """Empty the rows of these streams, within a transaction of the caller's.

    What is closed already opens no more. A batch that was projected before holds the lock of its
    bookmark until it is committed, and is emptied; a later one finds nothing to open.
    """
    suffixed = [*MODELS, *(name + NEXT for name in MODELS)]
    conn.execute(
        "SELECT FROM read_model WHERE name = ANY(%s) ORDER BY name FOR UPDATE", (suffixed,)
    )
    found = conn.execute("SELECT name FROM read_model WHERE name = ANY(%s)", (suffixed,))
    building = {name for (name,) in found.fetchall()}
    wanted = set(classes)
    for shared in HOLDING:
        for suffix in ("", NEXT):
            if shared.projection.name + suffix in building:
                _empty(conn, shared, suffix, list(streams), wanted)
    if DataClass.CONTACT in wanted:
        for suffix in ("", NEXT):
            if phones.Phones.name + suffix in building:
                conn.execute(_UNMARK.format(suffix), (list(streams),))


def _empty(
    conn: Any, shared: Shared, suffix: str, streams: list[UUID], classes: set[DataClass]
) -> None:
    columns = [name for name, kind in shared.personal.items() if kind in classes]
    if columns:
        said = ", ".join(f"{name} = NULL" for name in columns)
        conn.execute(
            f"UPDATE {shared.name}{suffix} SET {said} WHERE {shared.table.key} = ANY(%s)",  # noqa: S608 - names are constants.
            (streams,),
        )
