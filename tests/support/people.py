"""人物: a few invented persons, and the commands that bring them in."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from domain.aggregate import Aggregate
from domain.commands import RegisterMember
from domain.member import Member
from domain.organization import Organization, Peer
from domain.outflow import Outflow
from tests.support.story import Said, Story, fact, name

ZHANG_NUMBER = "620902197702264860"
LI_NUMBER = "620902198803151237"
"""Invented, with valid check digits."""

ZHANG = name("zhang")
AWAY = Outflow.id_of(ZHANG, 1)

JANUARY, MARCH, APRIL = date(2025, 1, 10), date(2025, 3, 1), date(2025, 4, 1)

ON_FILE = fact(
    Member.Registered,
    name="张三",
    number=ZHANG_NUMBER,
    sex="女",
    born_on="1977-02-26",
    category="正式党员",
    joined_on=date(2000, 7, 1),
    full_on=date(2001, 7, 1),
    branch="东沟村党支部",
)
LEFT = fact(
    Outflow.Registered, member=ZHANG, left_on=MARCH, reason="务工", destination="四川省成都市"
)


def peer(code: str) -> Peer:
    """A peer as it is enrolled."""
    return Peer(
        code=code,
        name=code,
        address=f"https://{code}.example",
        verify_key="v",
        sealing_key="s",
        fingerprint=code,
    )


def founded(story: Story, *peers: str) -> Story:
    """The organization of a story, with its peers."""
    org = story.ledger.org
    story.given(
        Organization.id_of(org),
        fact(Organization.Founded, code=org, name=org, kind="department"),
        *(fact(Organization.PeerEnrolled, peer=peer(code)) for code in peers),
    )
    return story


def on_file(story: Story, *more: Said, member: UUID = ZHANG, by: str | None = None) -> UUID:
    """A member's file."""
    return story.given(member, ON_FILE, *more, about=member, by=by)


def away(story: Story, *more: Said, heard_by: tuple[str, ...] = (), by: str | None = None) -> UUID:
    """Zhang's file, and the absence since March, with what followed."""
    on_file(story, fact(Member.Left, outflow=AWAY), by=by)
    return story.given(AWAY, LEFT, *more, about=ZHANG, heard_by=heard_by, by=by, on=MARCH)


def register_member(**details: Any) -> RegisterMember:
    """Zhang comes on file."""
    said = {
        "name": "张三",
        "number": ZHANG_NUMBER,
        "joined_on": date(2000, 7, 1),
        "full_on": date(2001, 7, 1),
        "branch": "东沟村党支部",
        **details,
    }
    return RegisterMember.model_validate(said)


def state_of(story: Story, stream: UUID) -> Aggregate:
    """An aggregate read from its records, past every cache."""
    story.ledger.forget({stream})
    return story.ledger.look_up(Aggregate, stream)
