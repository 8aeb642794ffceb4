"""目录: every stored name, in one closed list; a stored row can name nothing else."""

from __future__ import annotations

from domain.activity import Activity
from domain.aggregate import Aggregate, Fact
from domain.attendance import Attendance
from domain.claim import Claim
from domain.contact import Contact
from domain.inflow import Inflow
from domain.member import Member
from domain.organization import Organization
from domain.outflow import Outflow
from domain.policy import Policy
from domain.station import Station
from domain.unit import Unit

AGGREGATES: tuple[type[Aggregate], ...] = (
    Organization,
    Station,
    Unit,
    Policy,
    Member,
    Outflow,
    Inflow,
    Claim,
    Contact,
    Activity,
    Attendance,
)


def _facts_of(aggregate: type[Aggregate]) -> list[type[Fact]]:
    members = vars(aggregate).values()
    return [m for m in members if isinstance(m, type) and issubclass(m, Fact)]


FACTS: dict[str, type[Fact]] = {
    fact.TOPIC: fact for aggregate in AGGREGATES for fact in _facts_of(aggregate)
}
"""By topic, the fact that is stored under it."""

assert len(FACTS) == sum(len(_facts_of(a)) for a in AGGREGATES), "A topic names two facts."


PRIVATE = frozenset(topic for topic in FACTS if topic.startswith("organization."))
"""Topics that no peer may author: a node's own organization never travels."""
