"""节点: one organization's parts, put together here and nowhere else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self
from uuid import UUID

from eventsourcing.persistence import Tracking

from api import following
from api import service as service_module
from api.erasure.eraser import Eraser
from api.key_change import KeyChange
from api.pacts import Pacts, usual
from api.restoring import Restoring
from api.service import Service, because_of
from api.settings import DATABASE_URL, Settings, database_url, must_be_writable
from api.storage import keyring as keyring_module
from api.storage.access import AccessBook
from api.storage.database import Database
from api.storage.errors import DatabaseAway
from api.storage.keyring import NodeKeyring
from api.storage.recorder import GroupRecorder
from api.storage.server import EmbeddedServer
from api.storage.space import Space
from api.storage.tree import TreeStore
from api.storage.vault import Vault
from domain import custodian, suite
from domain.catalogue import reads
from domain.commands import Command, EnrolPeer, FoundOrganization, LapseOffer, RekeyPeer
from domain.decisions.admissions import HistoryBroken
from domain.errors import Refusal
from domain.ledger import BATCH_MAX, Ledger, Receipt
from domain.organization import Organization
from domain.values import DataClass, OrgCode, utc_now
from projections import phones
from projections.activities import Activities
from projections.affiliations import Affiliations
from projections.contacts import Contacts
from projections.custody import Custody
from projections.figures import Figures
from projections.history import History
from projections.phones import Phones
from projections.roster import Roster
from projections.store import Projector
from projections.transfers import Transfers
from sync import store as lane_tables
from sync.ahead import take_up
from sync.card import Card, make_card
from sync.envelope import NO_ROOT
from sync.inbox import Inbox
from sync.key_folder import KeyFolder
from sync.keys import NodeKeys
from sync.lane_bundle import Bundles
from sync.mutual import Mutual
from sync.relay import Relay
from sync.store import LaneStore

CUSTODIAN = "custodian"
"""The bookmark of what the node does by itself."""

FORGET_EVERY = timedelta(hours=1)

SCHEMA = "waystation"

BESIDE = {**keyring_module.BESIDE, **service_module.BESIDE, **lane_tables.BESIDE}

MODELS = (Roster, Custody, Contacts, Activities, History, Transfers, Affiliations, Figures, Phones)
"""The read models, in the order in which they are told."""


class Node:
    """Database, keys, ledger, read models and lanes of one organization."""

    _forgotten: datetime | None = None
    broken: Mapping[str, str] = MappingProxyType({})
    """By earlier file, why no later one goes on from it."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of a node, once.
        self,
        settings: Settings,
        database: Database,
        keys: NodeKeys,
        clock: Callable[[], datetime] = utc_now,
        folder: KeyFolder | None = None,
        vault: Vault | None = None,
        *,
        replacing: bool = False,
    ) -> None:
        self.settings, self.database, self.keys, self.clock = settings, database, keys, clock
        suite.choose(settings.suite)
        self._us = Organization.id_of(settings.code)
        self.keyring = _keyring(settings.code, database, keys, vault)
        self.recorder = GroupRecorder(database, BESIDE)
        with contextlib.ExitStack() as begun:
            begun.callback(self.recorder.close)
            self.access = begun.enter_context(contextlib.closing(AccessBook(database)))
            self.ledger = Ledger(settings.code, self.recorder, self.keyring)
            self.service = Service(self.ledger, database, clock)
            self.projector = Projector(database, self.ledger, [m(self.keyring) for m in MODELS])
            self.lanes = LaneStore(database, NO_ROOT)
            tree, hold = TreeStore(database), timedelta(seconds=settings.restore_hold_seconds)
            mutual = Mutual(settings.code, tree, self.lanes, keys, clock, hold)
            self.fence, self.log, self.witness = mutual.fence, mutual.log, mutual.witness
            self.relay = Relay(self.ledger, self.lanes, keys, clock, mutual)
            self.inbox = Inbox(self.ledger, self.lanes, keys, self.relay, self.keyring, clock)
            self.bundles = Bundles(self.ledger, self.lanes, keys, self.relay, self.inbox, clock)
            self._answered = self._kept = self.recorder.max_tracking_id(CUSTODIAN) or 0
            self._found()
            folder = folder or KeyFolder.of(keys)
            self.key_change = KeyChange(self.ledger, self.lanes, folder, self.service.execute)
            if not replacing:
                self.key_change.choose()
            self.restoring = Restoring(self, tree)
            self.eraser = Eraser(self.service, self.keyring, self.projector, keys, database)
            self.pacts = Pacts(self.service, self.relay, self.lanes, self.projector, self.recorder)
            # Up to here a failure lets go of the lease; from here on, `close` does.
            self._exit = begun.pop_all()

    @classmethod
    def open(cls, home: Path, *, replacing: bool = False, reindexing: bool = False) -> Node:
        """The node of a folder; `replacing` keys or `reindexing`, without the keys it replaces."""
        settings = Settings.load(home)
        must_be_writable(home)
        settings.must_work()
        stack = contextlib.ExitStack()
        # Keys first: without them nothing need be started.
        folder = KeyFolder.load(home / "keys")
        vault = stack.enter_context(contextlib.closing(Vault(home / "keys", folder.keys.master)))
        with stack:
            url, space = database_url(), None
            if url is None:
                server = stack.enter_context(EmbeddedServer(home / "postgres"))
                url, space = server.url, Space(server.home)
            try:
                database = Database(url, SCHEMA, space)
            except DatabaseAway as away:
                named = {"setting": DATABASE_URL} if space is None else {}
                raise DatabaseAway(**named, **away.facts) from away
            stack.callback(database.close)
            if not reindexing:
                phones.must_fit(database, _keyring(settings.code, database, folder.keys, vault))
            node = cls(settings, database, folder.keys, utc_now, folder, vault, replacing=replacing)
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
        return make_card(self.keys, known.code, known.name, known.address, self.clock(), reads())

    def enrol(
        self,
        card: Card,
        grants: tuple[DataClass, ...],
        lane: Literal["bundle"] | None = None,
        **agreed: Any,
    ) -> Receipt:
        """Trust the keys on a card, say how it is reached, and agree on what it may open, if so."""
        peer = card.peer().model_copy(update={"lane": lane})
        pact = usual(grants, self.clock(), self.settings.pact_days, **agreed)
        return self.execute(EnrolPeer(peer=peer, pact=pact))

    def rekey(self, card: Card, reason: str, second_person: str, **who: Any) -> Receipt:
        """Trust another card of an enrolled peer: its old key is believed nothing more.

        Raises:
            PeerUnknown, NothingChanged, KeyUsedBefore, SecondPersonNeeded.
        """
        until = self.lanes.standing_in(card.sender).number
        known = self.ledger.look_up(Organization, self._us).peer(card.sender)
        peer = card.peer().model_copy(update={"lane": known.lane})
        said = RekeyPeer(peer=peer, until=until, reason=reason, second_person=second_person)
        return self.execute(said, **who)

    # What it does by itself, step by step, so that a crash between any two is harmless.

    def answer_arrivals(self) -> int:
        """Answer what the ledger took in since the bookmark; how many entries were looked at."""
        if self.fence.raised is not None:
            return 0
        entries = self.ledger.since(self._answered, BATCH_MAX)
        answered = False
        for entry in entries:
            command = custodian.answer(entry, self.ledger)
            if command is not None and entry.fact is not None:
                answered = True
                who = because_of(entry.fact.id, entry.fact.meta.correlation)
                try:
                    self.service.execute(command, who)
                except Refusal as refusal:
                    # A refusal is an answer too: a flow that is over is not confirmed any more.
                    # That nothing could be written is none: the entry is looked at again.
                    if refusal.kind == "busy":
                        raise
        if entries:
            self._answered = entries[-1].position
        # Looking twice at what calls for no answer costs less than a commit for each look.
        if answered or self._answered >= self._kept + BATCH_MAX:
            self.recorder.insert_tracking(Tracking(CUSTODIAN, self._answered))
            self._kept = self._answered
        take_up(entries, self.ledger, self.lanes, self.clock)
        self.eraser.look(entries)
        return len(entries)

    def lapse_offers(self) -> int:
        """Let the offers lapse whose time has run out; how many did."""
        due = self._run_out()
        for outflow, offer in due:
            # The answer may have come in between: then there is nothing to lapse.
            with contextlib.suppress(Refusal):
                self.service.execute(
                    LapseOffer(outflow=outflow, offer=offer), service_module.BY_ITSELF
                )
        return len(due)

    def forget_times(self) -> None:
        """Let go of the times of hops that are kept for the newest only; looked at once an hour."""
        now = self.clock()
        if self._forgotten is None or abs(now - self._forgotten) >= FORGET_EVERY:
            self.lanes.forget_hops()
            self.projector.forget_times()
            self._forgotten = now

    def further_transfers(self) -> int:
        """Expire letters, file who was released to us, hand history on; how much was recorded."""
        before, broken = self.ledger.head, {}
        for command in self._further():
            try:
                self.service.execute(command, service_module.BY_ITSELF)
            except HistoryBroken as refusal:
                broken[f"file {refusal.facts['file']}"] = str(refusal)
            except Refusal:
                continue  # Overtaken, or not possible yet: looked at again next time.
        self.broken = broken
        return self.ledger.head - before

    def _further(self) -> list[Command]:
        """What is still to be done about transfers."""
        peers, code = list(self.relay.peers()), self.settings.code
        return following.due(self.database, code, peers, self.clock())

    def _run_out(self) -> list[tuple[UUID, int]]:
        return following.run_out(self.database, self.settings.code, self.clock())

    def settle(self) -> None:
        """Do all there is to do by itself, until nothing is left (tests, one-shot commands)."""
        while (
            self.answer_arrivals()
            or self.relay.number()
            or self.projector.catch_up()
            or self.further_transfers()
            or self.pacts.step()
        ):
            pass

    def _found(self) -> None:
        known = self.settings
        if self.ledger.find(Organization, self._us) is None:
            self.execute(
                FoundOrganization(
                    code=known.code, name=known.name, kind=known.kind, city=known.city
                )
            )


def _keyring(org: OrgCode, database: Database, keys: NodeKeys, vault: Vault | None) -> NodeKeyring:
    keyring = NodeKeyring(database, org, keys.master, keys.blind, vault)
    keyring.search_by(keys.search or keys.blind)
    return keyring
