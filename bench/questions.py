"""审计问题: how long each question takes, beside what it took in the smallest ledger of the run."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from api.audit.attempts import attempts
from api.audit.auditor import Auditor
from api.audit.explain import Explainer
from api.audit.figures import changed, figures
from api.audit.late import Narrowed, late
from api.audit.reading import Reader
from api.node import Node
from bench.figures import TARGETS, Figure, percentile
from bench.town import ORIGIN, Town
from domain.ledger import NotFound
from projections.search import find

GROWTH_MAX = 2.0
"""By how much a question may take longer in a ledger a hundred times as large."""

PAGE = 100
BETWEEN = 400
"""Entries between two moments that are compared."""

_first: dict[str, float] = {}
"""By question, the time in the smallest ledger."""

Question = Callable[[], object]


class Asker:
    """Asks about people, days and moments of chance."""

    def __init__(self, node: Node, town: Town) -> None:
        self.node, self.town, self.random = node, town, random.Random(11)
        self.reader = Reader(node)
        self.auditor = Auditor(self.reader)
        self.head = node.recorder.head()
        self.low = self.head - town.facts

    def outflow(self) -> UUID:
        """Somebody's absence."""
        return self.random.choice(self.town.absences)

    def member(self) -> UUID:
        """Somebody."""
        return self.reader.of(self.outflow())

    def day(self) -> date:
        """A day of the year in which they were away."""
        return date(2024, 3, 1) + timedelta(days=self.random.randrange(400))

    def moments(self) -> tuple[datetime, datetime]:
        """Two moments with some entries between them."""
        between = min(BETWEEN, self.town.facts // 4)
        first = self.random.randrange(self.low, self.head - between)
        query = "SELECT entered_at FROM stored_events WHERE notification_id = %(at)s"
        one, two = (
            self.node.database.rows(query, {"at": at})[0]["entered_at"]
            for at in (first + 1, first + between)
        )
        return one, two

    def page(self, **marks: Any) -> object:
        """A page of the history."""
        after = self.random.randrange(self.low, self.head) if "subject" not in marks else 0
        with self.node.database.connection() as conn:
            return find(conn, marks, after, PAGE)

    def known(self) -> None:
        """Of somebody, at a moment: that nothing was known yet is an answer too."""
        with suppress(NotFound):
            self.auditor.known(self.outflow(), self.day(), self.moments()[0])

    def questions(self) -> dict[str, Question]:
        """By name; each call is about somebody else."""
        explain = lambda name, field: Explainer(self.reader, name, self.outflow()).explain(field)  # noqa: E731
        return {
            "timeline": lambda: self.page(subject=self.member()),
            "by_actor": lambda: self.page(person="officer", topic="contact.", from_day=self.day()),
            "by_type": lambda: self.page(topic="outflow.confirmed"),
            "by_period": lambda: self.page(from_day=(day := self.day()), to_day=day),
            "responsible": lambda: self.auditor.responsible_for(self.member(), self.day()),
            "known": self.known,
            "changes": lambda: self.auditor.changes(self.outflow(), self.day(), self.moments()),
            "trail": lambda: self.auditor.trail(self.member(), "phone"),
            "attempts": lambda: attempts(self.reader, self.member(), None, 0, PAGE),
            "late": lambda: late(self.reader, Narrowed(), self.outflow(), PAGE),
            "figures": lambda: figures(self.reader, self.day(), self.moments()[0]),
            "recount": lambda: changed(self.reader, self.day(), self.moments(), None, 0, PAGE),
            "explain": lambda: explain("due", "next_due"),
        }


def measure(town: Town, samples: int) -> Iterator[Figure]:
    """The 99th percentile of each question, in milliseconds, one caller at a time."""
    node = town.open(ORIGIN)
    try:
        for name, ask in Asker(node, town).questions().items():
            try:
                yield _figure(name, ask, town, samples)
            except Exception as fault:
                fault.add_note(f"asked: {name}")
                raise
    finally:
        node.close()
        node.database.close()


def _figure(name: str, ask: Question, town: Town, samples: int) -> Figure:
    for _ in range(min(samples, 20)):
        ask()
    taken = []
    for _ in range(samples):
        began = time.perf_counter()
        ask()
        taken.append((time.perf_counter() - began) * 1000)
    p99 = percentile(taken, 0.99)
    full = f"question.{name}.p99"
    TARGETS[full] = -GROWTH_MAX
    return Figure(full, p99, "ms", _first.setdefault(name, p99), town.facts)
