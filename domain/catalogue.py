"""目录: every stored name, in one closed list; a stored row can name nothing else."""

from __future__ import annotations

from domain.access import Access
from domain.activity import Activity
from domain.admission import Admission
from domain.aggregate import Aggregate, Fact
from domain.agreement import Agreement
from domain.attendance import Attendance
from domain.claim import Claim
from domain.contact import Contact
from domain.destruction import Destruction
from domain.erasure import Erasure
from domain.inflow import Inflow
from domain.member import Member
from domain.organization import Organization
from domain.outflow import Outflow
from domain.pact import Pact
from domain.policy import Policy
from domain.signet import Signet
from domain.station import Station
from domain.transfer import Transfer
from domain.unit import Unit

AGGREGATES: tuple[type[Aggregate], ...] = (
    Organization,
    Station,
    Unit,
    Policy,
    Signet,
    Member,
    Outflow,
    Inflow,
    Claim,
    Transfer,
    Admission,
    Contact,
    Activity,
    Attendance,
    Agreement,
    Access,
    Erasure,
    Destruction,
    Pact,
)


def _facts_of(aggregate: type[Aggregate]) -> list[type[Fact]]:
    members = vars(aggregate).values()
    return [m for m in members if isinstance(m, type) and issubclass(m, Fact)]


FACTS: dict[str, type[Fact]] = {
    fact.TOPIC: fact for aggregate in AGGREGATES for fact in _facts_of(aggregate)
}
"""By topic, the fact that is stored under it."""

assert len(FACTS) == sum(len(_facts_of(a)) for a in AGGREGATES), "A topic names two facts."


PRIVATE = frozenset(topic for topic in FACTS if topic.startswith(("organization.", "access.")))
"""Topics that no peer may author: a node's own organization, and who read what, never travel."""


def reads() -> dict[str, int]:
    """By stored name that may travel, the newest schema version this node can read."""
    return {topic: kind.VERSION for topic, kind in FACTS.items() if topic not in PRIVATE}
