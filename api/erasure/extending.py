"""转请: whoever had keys of a person from us, and is not asked to erase them, is asked by us.

An erasure of ours that extends another organization's closes and destroys nothing here, where that
one does; it becomes what has become of that one, and what is answered to it is told there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

from api.erasure.about import About, ours
from api.erasure.closing import ClosingBook
from api.service import BY_ITSELF, Service
from domain.commands import Command, ExtendErasure, FollowErasure, TellExtended
from domain.destruction import Destruction
from domain.erasure import CLOSED, ERASURES_MAX, Erasure, State
from domain.organization import Organization
from domain.values import OrgCode

EXTENSIONS_MAX = ERASURES_MAX // 2
"""Extensions about one person: who asks again and again leaves us room to ask ourselves."""

_WEIGHT = {State.REQUESTED: 1, State.RESTRICTED: 2, State.GRANTED: 3, State.COMPLETED: 3}
"""How far an erasure has come; what was refused or lifted weighs nothing."""


class Extending:
    """Carries erasures further, and answers back; each step finds in the ledger what is lacking."""

    def __init__(
        self,
        service: Service,
        book: ClosingBook,
        about: Callable[[UUID], About],
        hold: Callable[[UUID], bool],
    ) -> None:
        self._ledger, self._execute = service.ledger, service.execute
        self._book, self._about, self._hold = book, about, hold

    def passed_to(self, erasure: Erasure, known: Iterable[Erasure]) -> tuple[OrgCode, ...]:
        """To whom a key of the person was granted, and who is asked neither by it nor by us."""
        asked = {erasure.keeper, *erasure.asked, *erasure.audience, self._ledger.org}
        for each in known:
            if each.extends is None and self._covers(each, erasure):
                asked |= {*each.asked, *each.audience}
        granted = self._book.granted_to(erasure.person, erasure.classes, sorted(self._peers()))
        return tuple(org for org in granted if org not in asked)

    def step(self, known: Sequence[Erasure]) -> int:
        """Ask whom another's erasure does not reach, follow it, and tell its asker the answers."""
        commands: list[Command] = []
        for erasure in known:
            if self._is_ours(erasure):
                commands += self._following(erasure)
            elif erasure.state in CLOSED and not self._over(erasure):
                commands += self._asking(erasure, known)
                commands += self._telling(erasure, known)
        for command in commands:
            self._execute(command, BY_ITSELF)
        return len(commands)

    def _following(self, extension: Erasure) -> list[Command]:
        if extension.extends is None:
            return []
        other = self._ledger.look_up(Erasure, extension.extends)
        moved = _WEIGHT.get(other.state, 0) != _WEIGHT.get(extension.state, 0)
        open_ = extension.state in {State.REQUESTED, State.RESTRICTED}
        return [FollowErasure(extension=extension.id)] if moved and open_ else []

    def _asking(self, erasure: Erasure, known: Sequence[Erasure]) -> list[Command]:
        asked = {org for each in known if self._covers(each, erasure) for org in each.audience}
        lacking = [org for org in self.passed_to(erasure, known) if org not in asked]
        before = [e for e in known if e.person == erasure.person and e.extends and self._is_ours(e)]
        if not lacking or len(before) >= EXTENSIONS_MAX or self._hold(erasure.person):
            return []
        streams = ours(self._ledger, self._about(erasure.person).streams)
        if not streams:  # A key goes with a fact of ours alone: nobody can have had one.
            return []
        return [ExtendErasure(erasure=erasure.id, streams=streams, hearers=tuple(lacking))]

    def _telling(self, erasure: Erasure, known: Sequence[Erasure]) -> list[Command]:
        """What has been answered to extensions, and is not told yet; the nearest first."""
        own = self._answer(erasure, self._ledger.org)
        if own is None or not own.answered:
            return []
        lacking: dict[OrgCode, Command] = {}
        for extension in (each for each in known if self._covers(each, erasure)):
            for org in extension.asked if extension.extends else ():
                answer = self._answer(extension, org)
                if answer is None or not answer.answered:
                    continue
                for told in (org, *answer.extended):
                    command = TellExtended(erasure=erasure.id, answer=answer.id, org=told)
                    lacking.setdefault(told, command)
        untold = lacking.keys() - {erasure.keeper, self._ledger.org, *own.extended}
        return [command for org, command in lacking.items() if org in untold]

    def _over(self, erasure: Erasure) -> bool:
        """Whether nobody has to be asked any more, and nothing to be told.

        Who keeps by law is not waited for, and tells all the same what others answer later.
        """
        own = self._answer(erasure, self._ledger.org)
        destroyed = own is not None and own.done is not None and own.settled
        return erasure.state is State.COMPLETED and destroyed

    def _covers(self, each: Erasure, erasure: Erasure) -> bool:
        """Whether an erasure of ours asks of its audience, or is about to, what another asks."""
        if not self._is_ours(each):
            return False
        if each.extends == erasure.id:
            return each.state in CLOSED
        return (
            each.person == erasure.person
            and set(each.classes) >= set(erasure.classes)
            and _WEIGHT.get(each.state, 0) >= _WEIGHT.get(erasure.state, 0)
        )

    def _is_ours(self, erasure: Erasure) -> bool:
        return erasure.keeper == self._ledger.org

    def _peers(self) -> Iterable[OrgCode]:
        return self._ledger.look_up(Organization, Organization.id_of(self._ledger.org)).peers

    def _answer(self, erasure: Erasure, org: OrgCode) -> Destruction | None:
        return self._ledger.find(Destruction, Destruction.id_of(erasure.id, org))
