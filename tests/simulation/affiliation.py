"""隶属: who holds each member's affiliation, and how a transfer may go: the rules a second time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.aggregate import Fact
from domain.ledger import Entry
from domain.member import Member
from domain.records import digest
from domain.transfer import Transfer
from tests.simulation.broken import must


@dataclass
class File:
    """One organization's file of a person."""

    id: UUID
    keeper: str
    person: UUID
    continues: UUID | None = None
    last: str | None = None
    """The last record of the file it goes on from, as it names it."""
    to: str | None = None
    closed: str | None = None
    """Its own last record, if it has been released."""


class Files:
    """Every person's files, as their keepers have written them."""

    def __init__(self) -> None:
        self.files: dict[UUID, File] = {}
        self.of: dict[UUID, dict[UUID, None]] = defaultdict(dict)
        self._taken: dict[UUID, int] = {}
        """By file, how many of its facts."""

    def rebuild(self, accounts: Mapping[str, Any]) -> None:
        """A ledger was put back: of each file what anybody holds of it."""
        self.__init__()  # type: ignore[misc]
        whole: dict[UUID, list[Entry]] = {}
        for account in accounts.values():
            for stream, entries in account.streams.items():
                first = entries[0].fact
                mine = first is not None and first.AGGREGATE is Member
                if mine and first.meta.keeper in accounts:
                    whole[stream] = max(whole.get(stream, []), entries, key=len)
        for entries in whole.values():
            for entry in entries:
                assert entry.fact is not None
                self.take(entry, entry.fact)

    def take(self, entry: Entry, fact: Fact) -> UUID:
        """One more fact of a file, from its keeper's own ledger; whose it is."""
        id_, keeper = fact.originator_id, fact.meta.keeper
        person = fact.meta.subject or id_
        if fact.originator_version <= self._taken.get(id_, 0):
            return person  # Its keeper has recorded it again.
        self._taken[id_] = fact.originator_version
        if isinstance(fact, Member.Registered):
            received = fact if isinstance(fact, Member.Received) else None
            said = (received.file, received.last) if received else (None, None)
            self.files[id_] = File(id_, keeper, person, *said)
            self.of[person][id_] = None
        file = self.files[id_]
        more = isinstance(fact, Member.Disclosed)
        must(file.closed is None or more, "Legal: released is released.", file=id_)
        if isinstance(fact, Member.Released):
            file.to, file.closed = fact.to, digest(entry.record)
        return person

    def line(self, person: UUID) -> File | None:
        """6: his files are one line, each naming the last record of the one before; the last.

        None where nobody has one any more.
        """
        files = [self.files[id_] for id_ in self.of[person]]
        if not files:
            return None
        after = {file.continues: file for file in files if file.continues}
        at = {"person": person}
        one = len(after) == len(files) - 1
        must(one, "Conserved: one file, and each goes on from another.", **at, files=files)
        for before, file in after.items():
            known = self.files.get(before)
            follows = known is not None and known.closed == file.last and known.to == file.keeper
            must(follows, "Conserved: it goes on where it was released to.", **at, file=file.id)
        last = [file for file in files if file.id not in after]
        must(len(last) == 1, "Conserved: one affiliation.", **at, last=last)
        return last[0]


@dataclass
class Passed:
    """How far one transfer has come."""

    state: str = "new"
    levels: tuple[str, ...] = ()
    approvers: tuple[str, ...] = ()
    to: str | None = None
    dispatch: int = 0
    until: datetime | None = None
    answers: dict[str, str] = field(default_factory=dict)
    """By the admission, what the origin made of it."""

    def step(self, fact: Fact) -> None:
        """One more fact of the transfer."""
        at = {"transfer": fact.originator_id, "version": fact.originator_version}
        name = fact.TOPIC.partition(".")[2]
        if name in _FROM:
            must(self.state in _FROM[name], "Legal: a step of a transfer.", **at, state=self.state)
        said: Any = fact
        if isinstance(fact, Transfer.Sent | Transfer.Reissued):
            must(said.dispatch == self.dispatch + 1, "Legal: dispatches are numbered.", **at)
            self.dispatch, self.until = said.dispatch, said.until
        elif name in {"expired", "letter_lost", "contested", "admitted", "completed"}:
            must(said.dispatch == self.dispatch, "Legal: of the dispatch that waits.", **at)
        match fact:
            case Transfer.Requested():
                self.levels, self.to = fact.levels, fact.to
            case Transfer.Approved():
                self._approve(fact)
            case Transfer.Expired():
                due = self.until is not None and fact.meta.recorded_at >= self.until
                must(due, "Legal: not yet due.", **at)
            case Transfer.Admitted() | Transfer.AdmissionVoid():
                again = fact.admission in self.answers
                must(not again, "Conserved: one answer to an admission.", **at)
                self.answers[fact.admission] = name
            case Transfer.Completed():
                slip = self.state == "admitted" if self.to else True
                must(slip, "Conserved: completed by who was admitted.", **at)
        self.state = _TO.get(name, self.state)

    def _approve(self, fact: Transfer.Approved) -> None:
        person, done = fact.meta.author.person, len(self.approvers)
        fits = self.levels[done : done + 1] == (fact.level,) and person not in self.approvers
        must(fits, "Legal: each level once, and nobody twice.", transfer=fact.originator_id)
        self.approvers += (person,)
        self.state = "approved" if len(self.approvers) == len(self.levels) else "deciding"


_FROM = {
    "requested": {"new"},
    "approved": {"deciding"},
    "rejected": {"deciding"},
    "withdrawn": {"deciding", "approved", "sent", "expired", "lost", "disputed"},
    "sent": {"approved", "disputed"},
    "expired": {"sent"},
    "letter_lost": {"sent"},
    "reissued": {"expired", "lost"},
    "contested": {"sent"},
    "admitted": {"sent"},
    "completed": {"admitted", "sent", "expired"},
    "forwarded": {"completed"},
}
_TO = {
    "requested": "deciding",
    "rejected": "over",
    "withdrawn": "over",
    "sent": "sent",
    "reissued": "sent",
    "expired": "expired",
    "letter_lost": "lost",
    "contested": "disputed",
    "admitted": "admitted",
    "completed": "completed",
}
