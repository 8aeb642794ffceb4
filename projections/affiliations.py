"""组织关系: who holds each member's affiliation, since when, and from whom it came."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID, uuid5

from domain.admission import Admission
from domain.aggregate import Fact
from domain.member import Member
from domain.outflow import Outflow
from projections.projection import Projection, Rows, Table

FILE = Table(
    "affiliation",
    {
        "member": "uuid",
        "person": "uuid",
        "keeper": "text",
        "name": "text",
        "category": "text",
        "branch": "text",
        "since": "date",
        "continues": "uuid",
        "came_by": "uuid",
        "transfer": "uuid",
        "released_to": "text",
        "released_to_name": "text",
        "released_on": "date",
        "ended": "bool",
    },
    ("person", "released_to", "continues"),
    ("name",),
)

ABSENCE = Table("affiliation_absence", {"outflow": "uuid", "member": "uuid"}, ("member",))
HEARS = Table(
    "affiliation_hears", {"told": "uuid", "outflow": "uuid", "org": "text"}, ("outflow, org",)
)
"""Whom its keeper has let follow an absence besides its hosts: later keepers of the member."""

ONWARD = Table(
    "affiliation_onward",
    {"said": "uuid", "transfer": "uuid", "org": "text", "onward": "text"},
    ("transfer",),
)
"""Whom a file has gone on to from the receiver of a transfer, as the receiver says."""

TRACED = Table(
    "affiliation_traced", {"said": "uuid", "org": "text", "file": "uuid"}, ("file, org",)
)
"""Who says that an earlier file is known there, with the absences it names."""

HELD = """
    SELECT * FROM affiliation
    WHERE (%(keeper)s::text IS NULL OR keeper = %(keeper)s)
      AND (%(person)s::uuid IS NULL OR person = %(person)s OR member = %(person)s)
      AND (NOT %(held)s OR (released_on IS NULL AND NOT ended))
      AND (%(after)s::uuid IS NULL OR member > %(after)s)
    ORDER BY member LIMIT %(limit)s
"""
"""With `held`, each member stands here once: at the one organization that counts him."""

RELEASED = """
    SELECT f.transfer FROM affiliation f
    WHERE f.released_to = %(org)s AND f.keeper <> %(org)s
      AND NOT EXISTS (SELECT FROM affiliation g WHERE g.continues = f.member)
    ORDER BY f.transfer LIMIT 1000
"""
"""Members that were released to us and have no file here yet."""


class Affiliations(Projection):
    """A row a file, a row an absence; of a person's files the last is open, at its one keeper.

    Beside them, how a history follows the person: who hears of what came before, and holds it.
    """

    name: ClassVar[str] = "affiliations"
    topics: ClassVar[tuple[str, ...]] = (
        "member.",
        "outflow.reported",
        "outflow.registered",
        "outflow.shared",
        "admission.passed_on",
        "admission.traced",
    )
    tables: ClassVar[tuple[Table, ...]] = (FILE, ABSENCE, HEARS, ONWARD, TRACED)

    def project(self, fact: Fact, rows: dict[str, Rows]) -> None:
        """One fact changes one row."""
        key, org = fact.originator_id, fact.meta.keeper
        said = uuid5(key, str(fact.originator_version))
        match fact:
            case Outflow.Reported() | Outflow.Registered():
                rows[ABSENCE.name].put(key, member=fact.member)
            case Outflow.Shared():
                rows[HEARS.name].put(said, outflow=key, org=fact.to)
            case Admission.PassedOn():
                rows[ONWARD.name].put(said, transfer=fact.transfer, org=org, onward=fact.to)
            case Admission.Traced():
                rows[TRACED.name].put(said, org=org, file=fact.file)
            case _:
                self._file(fact, rows[FILE.name])

    def _file(self, fact: Fact, files: Rows) -> None:
        key = fact.originator_id
        match fact:
            case Member.Registered():
                files.put(
                    key,
                    person=fact.meta.subject,
                    keeper=fact.meta.keeper,
                    name=self.clear(fact, "name"),
                    category=fact.category,
                    branch=fact.branch,
                    since=fact.meta.occurred.on,
                    **_before(fact),
                    ended=False,
                )
            case Member.IdentityCorrected() if fact.name is not None:
                files.put(key, name=self.clear(fact, "name"))
            case Member.Released():
                files.put(
                    key,
                    transfer=fact.transfer,
                    released_to=fact.to,
                    released_to_name=fact.to_name,
                    released_on=fact.meta.occurred.on,
                )
            case Member.Ended():
                files.put(key, ended=True)


def _before(fact: Member.Registered) -> dict[str, UUID | None]:
    """The file that this one goes on from, and the transfer by which."""
    if isinstance(fact, Member.Received):
        return {"continues": fact.file, "came_by": fact.transfer}
    return {"continues": None, "came_by": None}
