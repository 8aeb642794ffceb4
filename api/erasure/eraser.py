"""执行: brings what is closed and destroyed here in line with what the erasures say, step by step.

Nothing is remembered between the steps but what was carried out: each step compares that with the
ledger and with the list of what was destroyed, and does what is lacking. So a crash between any two
is made good at the next start, before anything is served; and so is an old backup.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from threading import Lock
from typing import NamedTuple
from uuid import UUID

from api.erasure.about import About, about, organizations, ours
from api.erasure.closing import SCRUBBED, Closed, ClosingBook, by_person
from api.erasure.extending import Extending
from api.service import BY_ITSELF, Service, Who
from api.storage.database import Database
from api.storage.keyring import NodeKeyring
from api.storage.scrub import scrub
from domain.aggregate import Aggregate
from domain.commands import (
    Command,
    CompleteErasure,
    GrantErasure,
    RequestErasure,
    TellDestroyed,
)
from domain.destruction import DESTROYED_MAX, Destruction
from domain.erasure import AskedBy, Erasure, ErasureGround, State
from domain.inflow import Inflow
from domain.ledger import Entry, NotFound, NotOurs, Receipt
from domain.member import Member
from domain.sealing import Closure
from domain.values import DataClass, OrgCode
from projections import erasing
from projections.store import Projector
from sync import destroyed
from sync.keys import NodeKeys

TOPICS = ("erasure.", "destruction.")
"""What calls for a step."""

_SAYS = {
    State.REQUESTED: Closure.HELD,
    State.RESTRICTED: Closure.RESTRICTED,
    State.GRANTED: Closure.ERASED,
    State.COMPLETED: Closure.ERASED,
}
_WEIGHT = {why: weight for weight, why in enumerate(Closure)}

_log = logging.getLogger(__name__)


class Asking(NamedTuple):
    """Whose data are to be erased, of which classes, on what ground."""

    file: UUID
    ground: ErasureGround
    classes: tuple[DataClass, ...] = tuple(DataClass)
    by: AskedBy = "person"
    document: str | None = None


class Eraser:
    """One for a node."""

    _due = False
    """Whether an erasure has come of which not all is carried out."""

    def __init__(
        self,
        service: Service,
        keyring: NodeKeyring,
        projector: Projector,
        keys: NodeKeys,
        database: Database,
    ) -> None:
        self._ledger, self._execute = service.ledger, service.execute
        self._database, self._keyring = database, keyring
        self._projector, self._keys = projector, keys
        self.book = ClosingBook(database)
        self._extending = Extending(service, self.book, self.about, self.hold)
        self.lock = Lock()
        self.log_kept = False
        """Whether the last scrub could not let go of the database's log of changes."""
        # Before anything is served: what an old backup has brought back is destroyed again.
        self.step()

    def look(self, entries: Iterable[Entry]) -> None:
        """Do at once what new entries call for; after a failure, again at the next look."""
        self._due |= any(entry.record.topic.startswith(TOPICS) for entry in entries)
        if self._due:
            self.step()
            self._due = False

    # What people ask.

    def request(self, asking: Asking, who: Who) -> Receipt:
        """Ask to erase the person of one of our files, or of one we found; closed when it answers.

        Raises:
            NotFound, NotOurs, ErasureOpen, NothingToErase.
        """
        person = self._person(asking.file)
        found = self.about(person)
        command = RequestErasure(
            person=person,
            streams=ours(self._ledger, found.streams),
            classes=asking.classes,
            ground=asking.ground,
            by=asking.by,
            document=asking.document,
            hearers=organizations(self._ledger, found.streams),
        )
        return self.carry(command, who)

    def grant(self, erasure: UUID, who: Who) -> Receipt:
        """Destroy, here at once and at everybody who may hold a key; a second person says so.

        Raises:
            NotFound, NotOurs, ErasureAnswered, SecondPersonNeeded, StillInCare.
        """
        known = self._ledger.look_up(Erasure, erasure)
        asked = organizations(self._ledger, self.about(known.person).streams)
        return self.carry(GrantErasure(erasure=erasure, asked=asked), who)

    def carry(self, command: Command, who: Who) -> Receipt:
        """Record a command about an erasure, and do at once what follows from it here."""
        receipt = self._execute(command, who)
        self.step()
        return receipt

    def about(self, person: UUID) -> About:
        """What the ledger holds about a person."""
        with self._database.connection() as conn:
            return about(conn, person)

    def _person(self, file: UUID) -> UUID:
        known = self._ledger.find(Aggregate, file)
        if not isinstance(known, Member | Inflow):
            raise NotFound(kind="member", id=file)
        if known.keeper != self._ledger.org:
            raise NotOurs(kind="member", id=file, keeper=known.keeper)
        return known.subject or known.id

    # What the node does by itself.

    def erasures(self) -> list[Erasure]:
        """Every erasure known here, ours and our peers'."""
        found = (self._ledger.find(Erasure, id_) for id_ in self.book.erasures())
        return [each for each in found if each is not None]

    def answer(self, erasure: Erasure, org: OrgCode) -> Destruction | None:
        """What an organization has answered to an erasure, as far as is known here."""
        return self._ledger.find(Destruction, Destruction.id_of(erasure.id, org))

    def step(self, *, telling: bool = True) -> int:
        """Do what is lacking; how much there was. Without `telling` nothing of it is recorded."""
        with self.lock:
            known = self.erasures()
            wanted = self._wanted(known, self._keyring.vault.persons)
            for (person, data_class), why in wanted.items():
                self._keyring.close(person, [data_class], why)
            carried, ids = self.book.carried()
            for (subject, data_class), why in carried.items():
                self._keyring.close(subject, [data_class], why)
            done = self._carry_out(wanted, carried) + self._open(wanted, carried, ids)
            done += self._destroy_strays()
            if self.book.unscrubbed():
                self.log_kept = not scrub(self._database, SCRUBBED)
                self.book.note_scrubbed()
            if telling:
                done += self._tell(known) + self._extending.step(known) + self._complete(known)
            return done

    def stands(self) -> tuple[Closed, Closed, dict[UUID, set[UUID]]]:
        """What the erasures alone say, what is carried out, and the ids of each person."""
        with self.lock:
            return self._wanted(self.erasures(), ()), *self.book.carried()

    def _wanted(self, known: list[Erasure], listed: Iterable[tuple[UUID, DataClass]]) -> Closed:
        wanted: Closed = dict.fromkeys(listed, Closure.ERASED)
        for erasure in known:
            why = self._effect(erasure)
            for data_class in erasure.classes if why else ():
                before = wanted.get((erasure.person, data_class))
                if before is None or _WEIGHT[before] < _WEIGHT[why]:  # type: ignore[index]
                    wanted[erasure.person, data_class] = why  # type: ignore[assignment]
        return wanted

    def _effect(self, erasure: Erasure) -> Closure | None:
        """What an erasure means here: a peer's has none for whose affiliation we hold."""
        why = _SAYS.get(erasure.state)
        if why is None or erasure.keeper == self._ledger.org:
            return None if erasure.extends else why
        answer = self.answer(erasure, self._ledger.org)
        if answer is not None and answer.kept is not None and answer.done is None:
            return Closure.RESTRICTED
        return None if self.hold(erasure.person) else why

    def hold(self, person: UUID) -> bool:
        """Whether the person's affiliation is with us: then we alone decide."""
        query = (
            "SELECT DISTINCT stream FROM history WHERE subject = %s AND org = %s"
            " AND starts_with(topic, 'member.')"
        )
        with self._database.connection() as conn:
            rows = conn.execute(query, (person, self._ledger.org), prepare=True).fetchall()
        if self._any_held(row[0] for row in rows):
            return True
        if any(self._keyring.closed(person, each) for each in DataClass):
            return False
        # Before the first thing is carried out: the read model may be behind the ledger.
        return self._any_held(self.about(person).streams)

    def _any_held(self, streams: Iterable[UUID]) -> bool:
        files = filter(None, (self._ledger.find(Member, stream) for stream in streams))
        ours = (file for file in files if file.keeper == self._ledger.org)
        return any(file.released_on is None for file in ours)

    def _carry_out(self, wanted: Closed, carried: Closed) -> int:
        lacking = {key: why for key, why in wanted.items() if carried.get(key) is not why}
        for person, by_reason in by_person(lacking).items():
            found = self.about(person)
            for why, classes in by_reason.items():
                for subject in found.subjects:
                    self._keyring.close(subject, classes, why)
                if why is Closure.ERASED:
                    self._destroy(found, classes)
                else:
                    self.book.hide(found, classes, why)
        return len(lacking)

    def _destroy(self, found: About, classes: list[DataClass]) -> None:
        """Destroy keys: first put down, then the slots, then the rows and all they opened."""
        keys = self.book.keys(found.subjects, classes)
        persons = [(subject, each) for subject in found.subjects for each in classes]
        self._keyring.vault.destroy(persons, keys, keys.values())
        self._keyring.forget(keys)
        self.book.destroy(found, classes)
        _log.warning("Destroyed %d keys of person %s", len(keys), found.person)

    def _destroy_strays(self) -> int:
        """A key that was under way while its person was erased is destroyed like the others."""
        stray = self.book.stray()
        for person, classes in stray.items():
            self._destroy(self.about(person), list(classes))
        return len(stray)

    def _open(self, wanted: Closed, carried: Closed, ids: dict[UUID, set[UUID]]) -> int:
        person_of = {subject: person for person, subjects in ids.items() for subject in subjects}
        opened = [
            (subject, data_class)
            for (subject, data_class), why in carried.items()
            if why is not Closure.ERASED and (person_of[subject], data_class) not in wanted
        ]
        if opened:
            for subject, data_class in opened:
                self._keyring.reopen(subject, data_class)
            for model in erasing.MODELS:
                self._projector.rebuild(model)
            self.book.open(opened)
        return len(opened)

    def _tell(self, known: list[Erasure]) -> int:
        """Answer what is carried out."""
        told, us = 0, self._ledger.org
        for erasure in known:
            answer, granted = self.answer(erasure, us), _SAYS.get(erasure.state) is Closure.ERASED
            if not granted or (answer and answer.done) or us not in erasure.holders:
                continue
            closed = (self._keyring.closed(erasure.person, each) for each in erasure.classes)
            if all(why is Closure.ERASED for why in closed):
                self._execute(self._receipt(erasure, known), BY_ITSELF)
                told += 1
        return told

    def _receipt(self, erasure: Erasure, known: list[Erasure]) -> TellDestroyed:
        keys = tuple(self.book.destroyed(erasure.person, erasure.classes)[:DESTROYED_MAX])
        passed = self._extending.passed_to(erasure, known)
        to = (erasure.keeper, self._ledger.org)
        signed = destroyed.signed(self._keys, erasure.id, *to, keys, passed)
        return TellDestroyed(erasure=erasure.id, keys=keys, passed_to=passed, signature=signed)

    def _complete(self, known: list[Erasure]) -> int:
        """Our erasures that everybody has answered."""
        completed = 0
        ours = (each for each in known if each.keeper == self._ledger.org)
        for erasure in (each for each in ours if each.state is State.GRANTED):
            answers = (self.answer(erasure, org) for org in erasure.holders)
            given = [answer for answer in answers if answer is not None and answer.settled]
            if len(given) == len(erasure.holders):
                kept = tuple(sorted(set().union(*(answer.keeping for answer in given))))
                self._execute(CompleteErasure(erasure=erasure.id, kept_by=kept), BY_ITSELF)
                completed += 1
        return completed
