"""流动护照: facts of an absence or member, with what proves them, as one file for who doubts."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from typing import Any
from uuid import UUID

import httpx
from eventsourcing.persistence import StoredEvent

from api.app_state import Running
from api.disclosure import Choice, keys, sealed_in
from api.node import Node
from api.paging import caught_up
from domain import suite
from domain.errors import Refusal
from domain.ledger import NotFound
from domain.member import Member
from domain.outflow import Outflow
from domain.records import head
from domain.signet import Signet
from domain.values import OrgCode
from sync.errors import LaneFault
from sync.keys import b64
from sync.log import Signed
from sync.signed_http import Signer
from sync.verifier import passport
from sync.verifier.defect import Defect, write_json
from sync.verifier.passport import FACTS_MAX, FORMAT, PASSPORT_BYTES, About

NOTHING = Choice()

ASK_S = 20.0
"""How long a peer may take to make its part."""

_STREAMS = {
    "absence": """
        SELECT stream FROM history WHERE outflow = %(id)s
        UNION SELECT stream FROM history
        WHERE subject = %(person)s AND starts_with(topic, 'member.')
    """,
    # Of who was found before he was claimed, the absence leads to what the host has said.
    "member": """
        SELECT stream FROM history WHERE subject = %(person)s
        UNION SELECT stream FROM history WHERE outflow IN (
            SELECT outflow FROM history WHERE subject = %(person)s AND outflow IS NOT NULL
        )
    """,
}
_LAST = """
    SELECT stream, max(position) AS last FROM history
    WHERE stream IN ({streams} UNION SELECT %(signet)s::uuid) GROUP BY stream
"""
_RECORDS = """
    SELECT notification_id AS position, originator_id, originator_version, topic, state
    FROM stored_events WHERE originator_id = ANY(%(streams)s) AND notification_id <= %(size)s
    ORDER BY notification_id LIMIT %(limit)s
"""


class TooLong(Refusal):
    """记录过多，不能出具一份护照。So many facts are not put in one file."""

    mend = (
        "请按各次流动分别出具；一次流动就过多的，请告知开发者：限于内存。"
        "Make one for each absence; if one is too long, tell the developers: it is memory."
    )


class OpenedForNobody(Refusal):
    """给其他组织的护照不附密钥。A passport made out to an organization carries no keys."""

    kind = "invalid"
    mend = "请去掉 to，或去掉 opened、show、hide。Leave out either to, or opened, show and hide."


class PeerSilent(Refusal):
    """对方没有出具其部分。A peer has not given its part."""

    kind = "busy"
    mend = (
        "请稍后重试；或请对方自行出具，两份文件可直接相接。"
        "Try later; or let them make theirs: two files are joined by appending one to the other."
    )


async def issue(
    node: Running, about: About, to: OrgCode | None = None, choice: Choice = NOTHING
) -> bytes:
    """This node's part, as of a checkpoint; what it has made it checks before handing it out.

    Raises:
        NotFound: nothing of it is known here, or nothing that concerns the organization.
        NotYet: the list of facts has not come as far as the checkpoint.
        TooLong, OpenedForNobody, ChosenTwice, NotSealed.
    """
    if choice.opens and to is not None:
        raise OpenedForNobody
    # All that is recorded by now, our keys among it: they must fit what is signed.
    await caught_up(node, "history", node.node.ledger.head)
    streams = await asyncio.to_thread(_streams, node.node, about)
    signed = await asyncio.to_thread(node.node.log.witnessed, max(streams.values()))
    await caught_up(node, "history", signed.size)
    return await asyncio.to_thread(_made, node.node, about, signed, to, choice)


def of_member(node: Node, member: UUID) -> About:
    """All of one person; a file that has moved here has an id of its own, the person's stays."""
    file = node.ledger.find(Member, member)
    return About("member", (file and file.subject) or member)


def _streams(node: Node, about: About) -> dict[UUID, int]:
    absence = about.kind == "absence"
    person = node.ledger.look_up(Outflow, about.id).person if absence else about.id
    asked = {"id": about.id, "person": person, "signet": Signet.id_of(node.settings.code)}
    rows = node.database.rows(_LAST.format(streams=_STREAMS[about.kind]), asked)
    return {row["stream"]: row["last"] for row in rows}


def _made(node: Node, about: About, signed: Signed, to: OrgCode | None, choice: Choice) -> bytes:
    asked = {"streams": list(_streams(node, about)), "size": signed.size, "limit": FACTS_MAX + 1}
    rows = node.database.rows(_RECORDS, asked)
    if len(rows) > FACTS_MAX:
        raise TooLong(**about._asdict(), maximum=FACTS_MAX)
    held = {row.pop("position"): StoredEvent(**row) for row in rows}
    held = _for(to, held, Signet.id_of(node.settings.code))
    records = list(held.values())
    if not any(_is_of(each, about) for each in records):
        raise NotFound(**about._asdict())
    fields = list(sealed_in(records)) if choice.opens else []
    hidden = choice.hidden(fields)
    first = {
        "format": FORMAT,
        "suite": suite.chosen().name,
        about.kind: str(about.id),
        "by": node.settings.code,
        "to": to,
        "made_at": node.clock().isoformat(),
        "checkpoint": signed.note.decode(),
        "streams": {str(each.originator_id): each.originator_version for each in records},
        "hidden": hidden,
    }
    lines = [first, *(_line(node, at, each, signed.size) for at, each in held.items())]
    lines += keys(node.keyring, [each for each in fields if each.name not in hidden])
    body = b"".join(map(write_json, lines))
    text = passport.signed_text(body)
    signatures = {node.keys.verify_key: b64(node.keys.sign(text))}
    wire = body + write_json({"signatures": signatures})
    passport.verify(wire, {})
    return wire


def _is_of(record: StoredEvent, about: About) -> bool:
    if about.kind == "absence":
        return record.originator_id == about.id
    return head(record).meta.subject == about.id


def _for(to: OrgCode | None, held: dict[int, StoredEvent], signet: UUID) -> dict[int, StoredEvent]:
    """The streams that an organization keeps or hears of; our keys are for everybody."""
    if to is None:
        return held
    heard = {signet}
    for each in held.values():
        meta = head(each).meta
        if meta.keeper == to or to in meta.audience:
            heard.add(each.originator_id)  # type: ignore[arg-type]
    return {at: each for at, each in held.items() if each.originator_id in heard}


def _line(node: Node, position: int, record: StoredEvent, size: int) -> dict[str, Any]:
    return {
        "stream": str(record.originator_id),
        "version": record.originator_version,
        "topic": record.topic,
        "state": record.state.decode(),
        "index": position - 1,
        "proof": [b64encode(each).decode() for each in node.log.inclusion(position, size)],
    }


class Asking:
    """Has peers make their parts, for us."""

    def __init__(self, node: Node, signer: Signer) -> None:
        self._node, self._signer = node, signer

    def part_of(self, peer: OrgCode, about: About) -> bytes:
        """A peer's part, checked with the key by which it is enrolled.

        Raises:
            PeerSilent, NotEnrolled, Defect.
        """
        known, us = self._node.relay.peer(peer), self._node.settings.code
        url = f"{known.address}/lanes/{us}/passport?of={peer}&about={about.kind}&id={about.id}"
        try:
            wire = self._get(url)
        except (httpx.HTTPError, httpx.InvalidURL, LaneFault) as fault:
            raise PeerSilent(peer=peer, because=f"{type(fault).__name__}: {fault}"[:200]) from None
        (part,) = passport.verify(wire, {peer: (known.verify_key,)})
        # Keys that nobody asked for would show what is to be hidden.
        if (part.by, part.to, part.about) != (peer, us, about) or part.opened:
            raise Defect(where=peer, because="it is not the part that was asked for")
        return wire

    def _get(self, url: str) -> bytes:
        headers = self._signer.headers("GET", url)
        with httpx.stream("GET", url, headers=headers, timeout=ASK_S, trust_env=False) as answer:
            answer.raise_for_status()
            received = bytearray()
            for chunk in answer.iter_raw():
                received += chunk
                if len(received) > PASSPORT_BYTES:
                    raise httpx.HTTPError(f"more than {PASSPORT_BYTES} bytes")
            return bytes(received)
