"""通道: numbers a loaded ledger by the relay, and lets the receiver have recorded all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventsourcing.persistence import Tracking

from domain.values import utc_now
from sync.store import BESIDE

if TYPE_CHECKING:
    from api.node import Node
    from bench.town import Pile


def put_down(sender: Node, receiver: Node, pile: Pile) -> None:
    """One direction: what a day of traffic would have left behind on both sides."""
    ours, theirs = sender.settings.code, receiver.settings.code
    while sender.relay.number():
        pass
    number, root = sender.lanes.head_out(theirs)[:2]
    with sender.database.connection() as conn:
        keys = conn.execute("SELECT key FROM lane_grant WHERE peer = %s", (theirs,)).fetchall()
    with receiver.database.connection() as conn, conn.transaction():
        with conn.cursor() as cursor, cursor.copy("COPY subject_key FROM STDIN") as copy:
            for (key_id,) in keys:
                key = pile.keyrings[ours].key(key_id)
                assert key is not None
                copy.write_row(receiver.keyring.row(key, ours).values)
        now = utc_now()
        conn.execute(BESIDE["lane_in"], (ours, number, root, now, number, now))
    receiver.recorder.insert_tracking(Tracking(f"lane:{ours}", number))
