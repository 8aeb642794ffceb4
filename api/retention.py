"""保存期限: whose data are due to be destroyed, and their destruction where the policy says so."""

from __future__ import annotations

import logging
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from api.erasure.eraser import Asking
from api.node import Node
from api.service import BY_ITSELF, Who
from domain.aggregate import CIVIL_ZONE
from domain.decisions.home import policy_of
from domain.errors import Refusal
from domain.policy import RetentionTerms
from domain.purposes import RETENTION
from domain.sealing import Closure
from domain.values import DataClass

LOOK_EVERY = timedelta(hours=1)
DUE_MAX = 500
"""Persons whose time is over that are looked at, the longest over first."""

_OVER = """
    SELECT f.person, (array_agg(f.member ORDER BY h.on_day DESC))[1] AS member,
        max(h.on_day) AS over_on
    FROM affiliation f
    JOIN history h ON h.stream = f.member AND h.topic IN ('member.ended', 'member.released')
    WHERE f.keeper = %(org)s AND NOT EXISTS (
        SELECT FROM affiliation g WHERE g.keeper = %(org)s AND g.person = f.person
            AND NOT g.ended AND g.released_on IS NULL
    ) AND NOT EXISTS (
        SELECT FROM closing c WHERE c.person = f.person AND c.state = %(erased)s
        HAVING count(DISTINCT c.data_class) = %(classes)s
    )
    GROUP BY f.person HAVING max(h.on_day) < %(before)s ORDER BY over_on, person LIMIT %(limit)s
"""
"""Files of ours that are over, none of the person's here being open."""

_log = logging.getLogger(__name__)


def due(node: Node) -> list[dict[str, Any]]:
    """Whose data of which classes have been kept as long as they may, by our policy of today."""
    today = node.clock().astimezone(CIVIL_ZONE).date()
    terms = _terms(node, today)
    asked = {
        "org": node.settings.code,
        "before": _years_ago(today, min(getattr(terms, each.value) for each in DataClass)),
        "erased": Closure.ERASED.value,
        "classes": len(DataClass),
        "limit": DUE_MAX,
    }
    found = []
    for row in node.database.rows(_OVER, asked):
        classes = [
            each
            for each in DataClass
            if row["over_on"] < _years_ago(today, getattr(terms, each.value))
            and node.keyring.closed(row["person"], each) is None
        ]
        if classes:
            reasons = {each.value: RETENTION[each].reason for each in classes}
            found.append({**row, "classes": classes, "reasons": reasons})
    return found


def _terms(node: Node, today: date) -> RetentionTerms:
    return policy_of(node.ledger, node.settings.code).on(today).terms.retained


def _years_ago(today: date, years: int) -> date:
    try:
        return today.replace(year=today.year - years)
    except ValueError:  # The 29th of February.
        return today.replace(year=today.year - years, day=28)


class Keeper:
    """Looks once an hour, by the node's clock; destroys what is due where the policy says so."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._looked: datetime | None = None

    def look(self) -> int:
        """Destroy what is due, if that is the policy; how many persons' data."""
        now = self._node.clock()
        if self._looked is not None and abs(now - self._looked) < LOOK_EVERY:
            return 0
        self._looked = now
        today = now.astimezone(CIVIL_ZONE).date()
        edition = policy_of(self._node.ledger, self._node.settings.code).on(today)
        if not edition.terms.retained.performs:
            return 0
        # People have said so when they adopted it: the edition stands in the second one's place.
        by_policy = Who(person=f"制度 policy {edition.version}", role="policy", channel="automatic")
        return sum(self._destroy(each, by_policy) for each in due(self._node))

    def _destroy(self, each: dict[str, Any], by_policy: Who) -> bool:
        eraser, member = self._node.eraser, each["member"]
        assert isinstance(member, UUID)
        classes = tuple(each["classes"])
        try:
            asking = Asking(member, "retention_over", classes, "organization")
            asked = eraser.request(asking, BY_ITSELF)
            eraser.grant(asked.id, by_policy)
        except Refusal as refusal:
            _log.warning("What is due was not destroyed: %s", refusal)
            return False
        return True
