"""审计: who was responsible, what was known, where a value came from, what changed in between."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from api.audit.picture import (
    ABOUT_A_PERSON,
    FIELDS,
    absences,
    holder_on,
    of_stream,
    picture,
    responsible,
)
from api.audit.reading import Known, Reader, Seen
from api.audit.sight import saw
from domain.absence import State
from domain.aggregate import CIVIL_ZONE, Fact
from domain.errors import Invalid, Refusal
from domain.ledger import NotFound
from domain.member import Member
from domain.outflow import Outflow
from domain.records import closed, open_field
from domain.values import OrgCode

BETWEEN_MAX = 300
"""Facts about one absence that may lie between two moments that are compared."""


class NoSuchField(Refusal):
    """党员没有这个项目。Nothing of that name is recorded about a person."""

    kind = "missing"
    mend = "请从 known 中选择。Choose one of those under known."


class MomentsReversed(Invalid):
    """起始时刻不早于终止时刻。The first moment is not before the second."""

    mend = "请把较早的时刻写在前面。Give the earlier moment first."


class TooMuchBetween(Refusal):
    """两个时刻之间的事实过多。Too many facts lie between the two moments."""

    mend = "请选更近的两个时刻。Choose two moments that are closer."


class Auditor:
    """Asks one node's ledger; what it, or a peer of it, did not know at a moment it leaves out."""

    def __init__(self, reader: Reader) -> None:
        self.reader, self._ledger = reader, reader.ledger

    def responsible(
        self,
        outflow: UUID,
        on: date,
        known_at: datetime | None = None,
        known_to: OrgCode | None = None,
    ) -> dict[str, Any]:
        """Who held the affiliation, who had the daily care on a day, and who could see what then.

        Raises:
            NotFound: nothing was known of the absence then.
        """
        known, seen = self._seen(outflow, known_at, known_to)
        answer = responsible(seen, outflow, on)
        if answer is None:
            raise NotFound(kind="outflow", id=outflow)
        return self._answer(outflow, on, known, known_at, answer, seen)

    def _answer(  # noqa: PLR0913, PLR0917 - the parts of one answer.
        self,
        outflow: UUID | None,
        on: date,
        known: Known,
        known_at: datetime | None,
        answer: dict[str, Any],
        seen: Sequence[Seen],
    ) -> dict[str, Any]:
        passed = [each for each in seen if isinstance(each.fact, Member.Released)]
        absence = [] if outflow is None else of_stream(seen, outflow)
        # The last moment of the day by the civil clock.
        end = datetime.combine(on, time.min, CIVIL_ZONE) + timedelta(days=1)
        return {
            "outflow": outflow,
            "on": on,
            "known_at": known_at,
            "known_to": known.to,
            **answer,
            "saw": saw(self.reader, seen, end),
            "facts": [self.reader.evidence(each) for each in (*absence, *passed)],
        }

    def responsible_for(
        self,
        member: UUID,
        on: date,
        known_at: datetime | None = None,
        known_to: OrgCode | None = None,
    ) -> dict[str, Any]:
        """As responsible, of a member: in the absence that covers the day, or at home.

        Raises:
            NotFound: nothing was known of him then.
        """
        known = self.reader.known(known_at, known_to)
        seen = self.reader.about(self.reader.person(member), known, member)
        away = [a for a in absences(seen) if _covers(a, on)]
        if away:
            said = responsible(seen, away[-1].id, on)
            assert said is not None
            answer = self._answer(away[-1].id, on, known, known_at, said, seen)
        else:
            holder = holder_on(seen, on)
            if holder is None:
                raise NotFound(kind="member", id=member)
            at_home: dict[str, Any] = {
                "affiliation": holder,
                "care": holder,
                "state": None,
                "stays": [],
            }
            answer = self._answer(None, on, known, known_at, at_home, seen)
        return {"member": member, **answer}

    def known(
        self,
        outflow: UUID,
        on: date,
        known_at: datetime | None = None,
        known_to: OrgCode | None = None,
    ) -> dict[str, Any]:
        """What was known at a moment about a day: care, person, contacts and attendance up to it.

        Raises:
            NotFound: nothing was known of the absence then.
        """
        known, seen = self._seen(outflow, known_at, known_to)
        answer = picture(seen, outflow, on, self._ledger.keyring)
        if answer is None:
            raise NotFound(kind="outflow", id=outflow)
        asked = {"outflow": outflow, "on": on, "known_at": known_at, "known_to": known.to}
        return {**asked, **answer, "facts": [self.reader.evidence(e) for e in seen]}

    def changes(
        self,
        outflow: UUID,
        on: date,
        moments: tuple[datetime, datetime],
        known_to: OrgCode | None = None,
    ) -> dict[str, Any]:
        """What was known of a day at two moments: what differs, and the fact that changed it.

        Raises:
            MomentsReversed, TooMuchBetween.
        """
        first, second = moments
        if first >= second:
            raise MomentsReversed(first=first, second=second)
        seen = self._seen(outflow, second, known_to)[1]
        had = {each.position for each in self._seen(outflow, first, known_to)[1]}
        between = [each for each in seen if each.position not in had]
        if len(between) > BETWEEN_MAX:
            raise TooMuchBetween(facts=len(between), maximum=BETWEEN_MAX)
        keyring = self._ledger.keyring
        base = [each for each in seen if each.position in had]
        before = picture(base, outflow, on, keyring) or {}
        at, told = before, list[dict[str, Any]]()
        for each in between:
            base = sorted([*base, each])
            after = picture(base, outflow, on, keyring) or {}
            told += self._told(at, after, each)
            at = after
        names = [name for name in {**before, **at} if before.get(name) != at.get(name)]
        return {
            "outflow": outflow,
            "on": on,
            "from": first,
            "to": second,
            "known_to": known_to,
            "differs": {n: {"before": before.get(n), "after": at.get(n)} for n in names},
            "because": told,
        }

    def _told(
        self, before: dict[str, Any], after: dict[str, Any], by: Seen
    ) -> list[dict[str, Any]]:
        return [
            {
                "field": name,
                "before": before.get(name),
                "after": after.get(name),
                "fact": self.reader.evidence(by),
            }
            for name in {**before, **after}
            if before.get(name) != after.get(name)
        ]

    def trail(
        self,
        member: UUID,
        field: str,
        known_at: datetime | None = None,
        known_to: OrgCode | None = None,
    ) -> list[dict[str, Any]]:
        """Every value a field of a person ever had here, in order, each with where it came from.

        Raises:
            NoSuchField: nothing is recorded about a person under that name.
        """
        if field not in FIELDS:
            raise NoSuchField(field=field[:64], known=sorted(FIELDS))
        known = self.reader.known(known_at, known_to)
        return [
            {
                "value": self._shown(each.fact, field),
                **self.reader.evidence(each),
            }
            for each in self.reader.about(self.reader.person(member), known, member)
            if isinstance(each.fact, ABOUT_A_PERSON) and getattr(each.fact, field, None) is not None
        ]

    def _shown(self, fact: Fact, field: str) -> Any:
        """A value, or the word for why it does not open."""
        value = open_field(fact, field, self._ledger.keyring)
        return closed(fact, field, self._ledger.keyring) if value is None else value

    def _seen(
        self, outflow: UUID, known_at: datetime | None, known_to: OrgCode | None
    ) -> tuple[Known, list[Seen]]:
        known = self.reader.known(known_at, known_to)
        return known, self.reader.about(self.reader.of(outflow), known, outflow)


def _covers(absence: Outflow, on: date) -> bool:
    if absence.state is State.VOIDED:
        return False
    return absence.left_on <= on and (absence.ended_on is None or on < absence.ended_on)
