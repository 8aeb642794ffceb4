"""节点: one organization's parts, put together here and nowhere else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from eventsourcing.persistence import Tracking

from api import service as service_module
from api.service import Service, because_of
from api.settings import Settings, database_url
from api.storage import keyring as keyring_module
from api.storage.database import Database
from api.storage.keyring import NodeKeyring
from api.storage.recorder import GroupRecorder
from api.storage.server import EmbeddedServer
from domain import custodian
from domain.commands import EnrolPeer, FoundOrganization, LapseOffer
from domain.errors import Refusal
from domain.ledger import BATCH_MAX, Ledger, Receipt
from domain.organization import Organization, Peer
from domain.values import DataClass, utc_now
from projections.activities import Activities
from projections.contacts import Contacts
from projections.custody import Custody
from projections.history import History
from projections.roster import Roster
from projections.store import Projector
from sync import store as lane_tables
from sync.envelope import NO_ROOT, Card, make_card
from sync.inbox import Inbox
from sync.keys import NodeKeys
from sync.relay import Relay
from sync.store import LaneStore

CUSTODIAN = "custodian"
"""The bookmark of what the node does by itself."""

SCHEMA = "waystation"

BESIDE = {**keyring_module.BESIDE, **service_module.BESIDE, **lane_tables.BESIDE}


class Node:
    """Database, keys, ledger, read models and lanes of one organization."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        keys: NodeKeys,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.settings, self.database, self.keys, self.clock = settings, database, keys, clock
        self._exit = contextlib.ExitStack()
        self.keyring = NodeKeyring(database, settings.code, keys.master, keys.blind)
        self.recorder = GroupRecorder(database, BESIDE)
        self._exit.callback(self.recorder.close)
        self.ledger = Ledger(settings.code, self.recorder, self.keyring)
        self.service = Service(self.ledger, database, clock)
        models = (Roster, Custody, Contacts, Activities, History)
        self.projector = Projector(database, self.ledger, [m(self.keyring) for m in models])
        self.lanes = LaneStore(database, NO_ROOT)
        self.relay = Relay(self.ledger, self.lanes, keys, clock)
        self.inbox = Inbox(self.ledger, self.lanes, keys, self.relay, self.keyring, clock)
        self._answered = self._kept = self.recorder.max_tracking_id(CUSTODIAN) or 0
        self._found()

    @classmethod
    def open(cls, home: Path) -> Node:
        """The node of a folder, with the PostgreSQL that comes with it or the operator's."""
        settings = Settings.load(home)
        stack = contextlib.ExitStack()
        with stack:
            url = database_url() or stack.enter_context(EmbeddedServer(home / "postgres")).url
            database = Database(url, SCHEMA)
            stack.callback(database.close)
            node = cls(settings, database, NodeKeys.load(home / "keys"))
            kept = stack.pop_all()
        # Closed in this order: the recorder writes what is queued, then connections, then server.
        own, node._exit = node._exit, contextlib.ExitStack()
        node._exit.push(kept)
        node._exit.push(own)
        return node

    def close(self) -> None:
        """Write what is queued, then let go of everything."""
        self.ledger.wake()
        self._exit.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def execute(self, command: Any, **who: Any) -> Receipt:
        """A command from inside this process."""
        return self.service.execute(command, service_module.Who(**who))

    def card(self) -> bytes:
        """This node's signed card."""
        known = self.settings
        return make_card(self.keys, known.code, known.name, known.address, self.clock())

    def enrol(self, card: Card, grants: tuple[DataClass, ...]) -> Receipt:
        """Trust the keys on a card, and say which classes of data its owner may open."""
        peer = Peer(
            code=card.sender,
            name=card.name,
            address=card.address,
            verify_key=card.verify_key,
            sealing_key=card.sealing_key,
            fingerprint=card.fingerprint,
            grants=grants,
        )
        return self.execute(EnrolPeer(peer=peer))

    # What it does by itself, step by step, so that a crash between any two is harmless.

    def answer_arrivals(self) -> int:
        """Answer what the ledger took in since the bookmark; how many entries were looked at."""
        entries = self.ledger.since(self._answered, BATCH_MAX)
        answered = False
        for entry in entries:
            command = custodian.answer(entry, self.ledger)
            if command is not None and entry.fact is not None:
                answered = True
                who = because_of(entry.fact.id, entry.fact.meta.correlation)
                # A refusal is an answer too: a flow that is over is not confirmed any more.
                with contextlib.suppress(Refusal):
                    self.service.execute(command, who)
        if entries:
            self._answered = entries[-1].position
        # Looking twice at what calls for no answer costs less than a commit for each look.
        if answered or self._answered >= self._kept + BATCH_MAX:
            self.recorder.insert_tracking(Tracking(CUSTODIAN, self._answered))
            self._kept = self._answered
        return len(entries)

    def lapse_offers(self) -> int:
        """Let the offers lapse whose time has run out; how many did."""
        with self.database.connection() as conn:
            due = conn.execute(
                "SELECT outflow, offer FROM custody_flow"
                " WHERE offer_state = 'open' AND origin = %s AND until < %s LIMIT 1000",
                (self.settings.code, self.clock()),
            ).fetchall()
        for outflow, offer in due:
            # The answer may have come in between: then there is nothing to lapse.
            with contextlib.suppress(Refusal):
                self.service.execute(
                    LapseOffer(outflow=outflow, offer=offer), service_module.BY_ITSELF
                )
        return len(due)

    def settle(self) -> None:
        """Do all there is to do by itself, until nothing is left (tests, one-shot commands)."""
        while self.answer_arrivals() or self.relay.number() or self.projector.catch_up():
            pass

    def _found(self) -> None:
        known = self.settings
        if self.ledger.find(Organization, Organization.id_of(known.code)) is None:
            self.execute(
                FoundOrganization(
                    code=known.code, name=known.name, kind=known.kind, city=known.city
                )
            )
