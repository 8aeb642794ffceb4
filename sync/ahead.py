"""先到: takes up what a later keeper has said before the earlier one's release was here.

Who hears both of them hears them on two lanes, and one may be ahead: a file that goes on elsewhere
is set aside while it is not known to be released. When the release comes, what was set aside of
that peer is checked anew, by the rules by which it would be taken if it came now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime

from domain.ledger import Entry, Ledger, Overtaken
from domain.member import Member
from sync.quarantine import Quarantine
from sync.store import LaneStore


def take_up(
    entries: Iterable[Entry], ledger: Ledger, store: LaneStore, clock: Callable[[], datetime]
) -> None:
    """Look at the releases among new entries; twice the same does no harm."""
    facts = (e.fact for e in entries if e.record.topic == Member.Released.TOPIC)
    told = [fact for fact in facts if isinstance(fact, Member.Released)]
    peers = {str(fact.to) for fact in told if fact.to and fact.meta.keeper != ledger.org}
    for peer in sorted(peers - {ledger.org}):
        if store.parked(peer):
            quarantine = Quarantine(ledger, store, clock)
            passing = quarantine.retry_all(peer, dry_run=True)
            with suppress(Overtaken):
                quarantine.retry_all(peer, dry_run=False, count=len(passing.records))
