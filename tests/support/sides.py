"""两地: an origin and a host with their read models, between which facts are carried by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import uuid4

from eventsourcing.persistence import Tracking
from psycopg.rows import dict_row

from api.storage import keyring as keyring_module
from api.storage.database import Database as Connections
from api.storage.keyring import NodeKeyring
from api.storage.recorder import GroupRecorder
from domain import custodian
from domain.commands import Command
from domain.ledger import Ledger, Receipt
from domain.records import audience, key_ids
from domain.values import DataClass, OrgCode
from projections.activities import Activities
from projections.affiliations import Affiliations
from projections.contacts import Contacts
from projections.custody import Custody
from projections.figures import Figures
from projections.history import History
from projections.phones import Phones
from projections.projection import Row
from projections.roster import Roster
from projections.store import Projector
from projections.transfers import Transfers
from tests.support.anew import begin_anew
from tests.support.people import founded
from tests.support.postgres import remove_all
from tests.support.story import Story

MODELS = (Roster, Custody, Contacts, Activities, History, Transfers, Affiliations, Figures, Phones)
GRANTED = {DataClass.IDENTITY, DataClass.CONTACT}


class Side:
    """One organization: its story, its read models, and what has been carried to it."""

    def __init__(self, url: str, schema: str, org: OrgCode) -> None:
        self.org, self.database = org, Connections(url, schema)
        with ExitStack() as begun:
            begun.callback(self.database.close)
            NodeKeyring(self.database, org, b"m" * 32, b"b" * 32)
            self.recorder = GroupRecorder(self.database, keyring_module.BESIDE)
            begun.callback(self.recorder.close)
            self.begin()
            self._exit = begun.pop_all()

    def begin(self) -> None:
        """Everything but the tables, as when a process starts."""
        self.keyring = NodeKeyring(self.database, self.org, b"m" * 32, b"b" * 32)
        self.ledger = Ledger(self.org, self.recorder, self.keyring)
        self.story = Story(self.ledger)
        self.projector = self.new_projector()

    def wipe(self) -> None:
        """Begin anew; much quicker than another schema."""
        models = [table.name for model in MODELS for table in model.tables]
        with self.database.connection() as conn:
            remove_all(conn, "subject_key", *models)
            conn.execute("UPDATE read_model SET position = 0")
        begin_anew(self.recorder)
        self.begin()

    def new_projector(self) -> Projector:
        return Projector(self.database, self.ledger, [model(self.keyring) for model in MODELS])

    def do(self, command: Command) -> Receipt:
        """A command that is not refused."""
        self.story.when(command)
        assert self.story.refusal is None, self.story.refusal
        assert self.story.receipt is not None
        return self.story.receipt

    def hear(self, other: Side) -> int:
        """Take in what the other must tell, and answer what calls for an answer."""
        told = [entry.record for entry in other.ledger.since(0)]
        ours = {r.originator_id for r in told if self.ledger.org in audience(r)}
        known = {entry.record for entry in self.ledger.since(0)}
        news = [r for r in told if r.originator_id in ours and r not in known]
        if not news:
            return 0
        keys = [other.keyring.key(key_id) for record in news for key_id in key_ids(record)]
        granted = {key.id: key for key in keys if key and key.data_class in GRANTED}
        rows = tuple(self.keyring.row(key, other.ledger.org) for key in granted.values())
        before = self.ledger.head
        self.ledger.replicate(news, Tracking(f"by hand:{uuid4()}", 1), rows)
        for entry in self.ledger.since(before):
            command = custodian.answer(entry, self.ledger)
            if command is not None:
                self.story.when(command)
        return len(news)

    def project(self) -> None:
        """Bring every read model up to date."""
        while self.projector.catch_up():
            pass
        assert self.projector.stopped == {}

    def rows(self, query: str, **values: Any) -> list[Row]:
        with (
            self.database.connection() as conn,
            conn.cursor(row_factory=dict_row) as cursor,
        ):
            return cursor.execute(query, values).fetchall()

    def table(self, name: str) -> dict[Any, Row]:
        """All rows of a table by their key."""
        found = self.rows(f"SELECT * FROM {name}")
        return {next(iter(row.values())): row for row in found}

    def close(self) -> None:
        self._exit.close()


def acquaint(made: list[Side]) -> None:
    """Each is founded, and the others are its peers."""
    for side in made:
        founded(side.story, *(other.org for other in made if other is not side))


@contextmanager
def sides(url: str, *named: tuple[str, OrgCode]) -> Iterator[list[Side]]:
    """Sides by schema and code, acquainted with one another."""
    with ExitStack() as stack:
        made = []
        for schema, org in named:
            made.append(Side(url, schema, org))
            stack.callback(made[-1].close)
        acquaint(made)
        yield made


def settle(*made: Side) -> None:
    """Let everybody hear everybody until nothing is new, and project it."""
    while sum(one.hear(other) for one in made for other in made if one is not other):
        pass
    for side in made:
        side.project()
