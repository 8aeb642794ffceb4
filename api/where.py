"""在哪里: follows one fact hop by hop, here and at the peers that sent or hold it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import httpx
from eventsourcing.persistence import StoredEvent

from api.node import Node
from domain.ledger import NotFound
from domain.records import audience, head
from domain.values import OrgCode
from sync.envelope import Sealed
from sync.errors import LaneFault
from sync.signed_http import Signer, authorities, request
from sync.whereabouts import HOPS_TOLD_MAX, HopTold, Whereabouts

ASK_S = 5.0
"""How long a peer may take to say where a fact is."""

ASKED_MAX = 16
"""Peers that are asked about one fact."""

_FACT = "SELECT notification_id AS position, originator_id AS stream, originator_version AS version"
_COLUMNS = f"{_FACT}, topic, state, entered_at FROM stored_events"
_BY_PLACE = f"{_COLUMNS} WHERE originator_id = %(stream)s AND originator_version = %(version)s"
_BY_POSITION = f"{_COLUMNS} WHERE notification_id = %(position)s"


class Fact(NamedTuple):
    """One record as it stands in this ledger."""

    position: int
    entered_at: datetime
    record: StoredEvent
    keeper: OrgCode


class Tracker:
    """Looks at one node's own books, and asks peers for theirs."""

    def __init__(self, node: Node, signer: Signer) -> None:
        self._node, self._signer, self._org = node, signer, node.settings.code

    def find(self, stream: UUID, version: int) -> Fact | None:
        """A fact by its place."""
        return self._one(_BY_PLACE, stream=stream, version=version)

    def at(self, position: int) -> Fact:
        """The fact of a receipt.

        Raises:
            NotFound.
        """
        found = self._one(_BY_POSITION, position=position)
        if found is None:
            raise NotFound(kind="fact", id=position)
        return found

    def where(self, stream: UUID, version: int) -> dict[str, Any]:
        """Every hop known here, with the peers it is, or was, on the way to or from.

        Raises:
            NotFound: it is neither in the ledger nor in the quarantine.
        """
        fact, parked = self.find(stream, version), self._parked(None, stream, version)
        if fact is None and parked is None:
            raise NotFound(kind="fact", id=f"{stream}/{version}")
        hops = [] if fact is None else self._ledger_hops(fact)
        return {
            "stream": stream,
            "version": version,
            "topic": fact.record.topic if fact else None,
            "keeper": fact.keeper if fact else None,
            "here": {"org": self._org, "hops": _timed([*hops, *([parked] if parked else [])])},
            "peers": [
                self._leg(peer, stream, version) for peer in self._peers(fact, stream, version)
            ],
        }

    def half(self, asker: OrgCode, stream: UUID, version: int, number: int) -> bytes:
        """What a peer is told, signed: only of what it sent, or holds; else no hop at all."""
        fact = self.find(stream, version)
        hops: list[HopTold] = []
        if fact is None:
            parked = self._parked(asker, stream, version)
            hops = [parked] if parked else []
        elif fact.keeper == asker:
            hops = [*self._taken(asker, number), *self._ledger_hops(fact)]
        elif (ours := self._node.lanes.number_of(asker, stream, version)) is not None:
            hops = [*self._ledger_hops(fact)[:1], *self._sent(asker, ours)]
        said = Whereabouts(
            sender=self._org,
            receiver=asker,
            stream=stream,
            version=version,
            at=self._node.clock(),
            hops=tuple(hops[:HOPS_TOLD_MAX]),
        )
        return said.signed(self._node.keys)

    def ask(self, leg: dict[str, Any], stream: UUID, version: int) -> None:
        """Add a peer's half to a leg, or why it could not be had."""
        peer = self._node.relay.peers()[leg["peer"]]
        query = f"of={peer.code}&stream={stream}&version={version}&number={leg['number'] or 0}"
        url = f"{peer.address}/lanes/{self._org}/where?{query}"
        try:
            said = Sealed(self._get(url)).open(Whereabouts, peer.verify_key)
        except (httpx.HTTPError, httpx.InvalidURL, LaneFault) as fault:
            leg["not_asked"] = f"{type(fault).__name__}: {fault}"[:200]
            return
        if (said.receiver, said.stream, said.version) != (self._org, stream, version):
            leg["not_asked"] = "it answered about another fact"
            return
        leg["there"] = _timed(said.hops)
        numbered = next((hop.note for hop in said.hops if hop.hop == "numbered"), None)
        if leg["number"] is None and numbered and numbered.isdecimal():
            # Only the sender knows the number; with it our own inbox's time is found.
            number = int(numbered)
            leg |= {"number": number, "hops": _timed(self._taken(peer.code, number))}

    def _get(self, url: str) -> bytes:
        with httpx.Client(verify=authorities(), trust_env=False) as client:
            return request(client, self._signer, "GET", url, None, ASK_S).body

    def _one(self, query: str, **values: Any) -> Fact | None:
        rows = self._node.database.rows(query, values)
        if not rows:
            return None
        row = rows[0]
        record = StoredEvent(row["stream"], row["version"], row["topic"], bytes(row["state"]))
        return Fact(row["position"], row["entered_at"], record, head(record).meta.keeper)

    def _peers(self, fact: Fact | None, stream: UUID, version: int) -> list[OrgCode]:
        known = self._node.relay.peers()
        if fact is None:
            found = self._node.lanes.parked_place(stream, version)
            return [found["peer"]] if found and found["peer"] in known else []
        if fact.keeper != self._org:
            return [fact.keeper] if fact.keeper in known else []
        return [code for code in audience(fact.record) if code in known]

    def _leg(self, peer: OrgCode, stream: UUID, version: int) -> dict[str, Any]:
        number = self._node.lanes.number_of(peer, stream, version)
        hops = [] if number is None else self._sent(peer, number)
        return {
            "peer": peer,
            "number": number,
            "hops": _timed(hops),
            "there": None,
            "not_asked": None,
        }

    def _ledger_hops(self, fact: Fact) -> list[HopTold]:
        """Recorded, then each read model that reads it, in the order in which they passed it."""
        projector = self._node.projector
        passed = projector.passed(fact.position)
        hops = [
            HopTold(hop=f"read model {name}", at=at, note=None if done else "not yet 尚未")
            for name, (done, at) in passed.items()
            if projector.projections[name].wants(fact.record.topic)
        ]
        hops.sort(key=lambda hop: (hop.at is None, hop.at))
        return [HopTold(hop="recorded", at=fact.entered_at), *hops]

    def _sent(self, peer: OrgCode, number: int) -> list[HopTold]:
        passed = self._node.lanes.passed(peer, number)
        hops = [HopTold(hop="numbered", at=_at(passed.get("numbered")), note=str(number))]
        if sent := passed.get("sent"):
            hops.append(HopTold(hop="sent", at=sent.at, note=sent.note))
        elif waits := self._node.relay.sent_at(peer, number):
            hops.append(HopTold(hop="sent", at=waits[0], note=waits[1]))
        if receipt := passed.get("receipt"):
            note = f"signed by the peer at {receipt.note}"
            hops.append(HopTold(hop="receipt", at=receipt.at, note=note))
        elif self._node.lanes.acknowledged(peer).number >= number:
            hops.append(HopTold(hop="receipt", note="its time is kept no longer 时间已不再保存"))
        if refused := self._node.lanes.refusal(peer, number):
            hops.append(HopTold(hop="set aside there", at=refused[0], note=refused[1][:200]))
        return hops

    def _taken(self, peer: OrgCode, number: int) -> list[HopTold]:
        taken = self._node.lanes.passed(peer, number).get("taken") if number else None
        if taken is None:
            return []
        return [HopTold(hop="inbox, verified", at=taken.at, note=f"batch packed at {taken.note}")]

    def _parked(self, peer: OrgCode | None, stream: UUID, version: int) -> HopTold | None:
        found = self._node.lanes.parked_place(stream, version)
        if found is None or peer not in {None, found["peer"]}:
            return None
        note = f"{found['id']}: {found['said']}"[:200]
        return HopTold(hop="parked", at=found["at"], note=note)


def _at(passed: Any) -> datetime | None:
    return None if passed is None else passed.at


def _timed(hops: Any) -> list[dict[str, Any]]:
    """Each hop with the seconds since the first of the same clock."""
    first = next((hop.at for hop in hops if hop.at is not None), None)
    return [
        {
            **hop.model_dump(),
            "after_s": None
            if hop.at is None or first is None
            else (hop.at - first).total_seconds(),
        }
        for hop in hops
    ]
