"""应答对账: the side that is asked answers from one snapshot, and signs what it says itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import TypeVar
from uuid import UUID

from domain import suite
from domain.organization import Peer
from domain.sealing import draw
from domain.values import DataClass, OrgCode
from sync.certificate import Certificate, Lane, check, salt_hash, sign
from sync.compare import (
    Agreed,
    Answer,
    Ask,
    AskRanges,
    AskRows,
    Cut,
    Open,
    Opened,
    Propose,
    ToldRanges,
    ToldRows,
    salt_of,
)
from sync.comparing import Basis, NotAgreed, Snapshot, models_of
from sync.envelope import Sealed
from sync.errors import LaneFault, Malformed, Misaddressed
from sync.keys import NodeKeys
from sync.ranges import Hashes

SESSION_S = 120
"""How long a snapshot is kept for the peer that asks."""

ASKED_MAX = 64
"""Questions of one session; an honest one needs 33 rounds, five pages of rows, a proposal."""

SESSIONS_MAX = 8
"""Snapshots kept at once, one a peer; the oldest makes room."""

SIGNED_WITHIN = timedelta(seconds=300)
"""How far a certificate's moment may lie from ours."""

A = TypeVar("A", bound=Ask)

Take = Callable[[OrgCode, bytes, tuple[DataClass, ...]], Snapshot]
"""Takes a snapshot of what is shared with a peer: whose, the salt, what the peer lets us open."""

Keep = Callable[[OrgCode, Certificate, str, tuple[str, str], Basis], None]
"""Keeps a certificate: the peer's code, what it says, its text, our signature and theirs, the
basis of its roots."""


class NoSuchSession(LaneFault):
    """没有这次对账，或已过期。There is no such comparison, or it is over."""


class TooManyQuestions(LaneFault):
    """对账的提问过多。The comparison has asked too many questions."""


class ComparingAlready(LaneFault):
    """正在与另一组织对账，请稍后。A snapshot is being taken for another peer; ask again later."""


@dataclass
class _Session:
    """One peer's comparison."""

    id: UUID
    until: datetime
    snapshot: Snapshot
    grants: tuple[DataClass, ...]
    asked: int = 0


def lanes_of(org: OrgCode, peer: OrgCode, cut: Cut) -> tuple[Lane, Lane]:
    """Both lanes at a cut, as a certificate names them: sorted by source."""
    told = Lane(source=org, destination=peer, number=cut.told, root=cut.told_root)
    heard = Lane(source=peer, destination=org, number=cut.heard, root=cut.heard_root)
    return (told, heard) if org < peer else (heard, told)


class Answering:
    """One for a node; sessions are in memory, and a lost one is opened anew."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of a node, once.
        self,
        org: OrgCode,
        keys: NodeKeys,
        clock: Callable[[], datetime],
        rules: str,
        granted: Callable[[OrgCode], tuple[DataClass, ...]],
        take: Take,
        keep: Keep,
    ) -> None:
        self._org, self._keys, self._clock, self._rules = org, keys, clock, rules
        self._granted, self._take, self._keep = granted, take, keep
        self._sessions: dict[OrgCode, _Session] = {}
        self._taking = Lock()

    def answer(self, peer: Peer, wire: bytes) -> bytes:
        """The signed answer to a question of an enrolled peer.

        Raises:
            LaneFault: nothing is answered.
        """
        sealed = Sealed(wire)
        if sealed.sender != peer.code:
            raise Misaddressed(sender=sealed.sender, caller=peer.code)
        kind = _KINDS.get(sealed.kind)
        if kind is None:
            raise Malformed(where="kind", kind=sealed.kind[:20])
        ask = sealed.open(kind, peer.verify_key)
        if ask.receiver != self._org:
            raise Misaddressed(receiver=ask.receiver)
        told = self._open(peer, ask) if isinstance(ask, Open) else self._tell(peer, ask)
        return told.model_copy(update={"answering": suite.digest(wire).hex()}).signed(self._keys)

    def _open(self, peer: Peer, ask: Open) -> Answer:
        if not self._taking.acquire(blocking=False):
            raise ComparingAlready
        try:
            nonce = draw(32).hex()
            snapshot = self._take(peer.code, salt_of(ask.nonce, nonce), ask.grants)
        finally:
            self._taking.release()
        now = self._clock()
        self._sessions = {
            code: kept
            for code, kept in self._sessions.items()
            if code != peer.code and kept.until > now
        }
        while len(self._sessions) >= SESSIONS_MAX:
            self._sessions.pop(next(iter(self._sessions)))
        until = now + timedelta(seconds=SESSION_S)
        self._sessions[peer.code] = _Session(ask.session, until, snapshot, ask.grants)
        return Opened(
            **self._envelope(peer),
            nonce=nonce,
            grants=self._granted(peer.code),
            rules=self._rules,
            cut=snapshot.cut,
            models=models_of(snapshot.hashes),
            waiting=snapshot.waiting,
        )

    def _tell(self, peer: Peer, ask: Ask) -> Answer:
        session = self._sessions.get(peer.code)
        if session is None or session.id != ask.session or session.until < self._clock():
            self._sessions.pop(peer.code, None)
            raise NoSuchSession(session=ask.session)
        session.asked += 1
        if session.asked > ASKED_MAX:
            raise TooManyQuestions(maximum=ASKED_MAX)
        snapshot, envelope = session.snapshot, self._envelope(peer)
        match ask:
            case AskRanges():
                told = tuple(_known(snapshot, r.model).tell(r.prefix) for r in ask.ranges)
                return ToldRanges(**envelope, ranges=told)
            case AskRows():
                for row in ask.rows:
                    _known(snapshot, row.model)
                rows = tuple(snapshot.row(row.model, row.key) for row in ask.rows)
                return ToldRows(**envelope, rows=rows)
            case Propose():
                return Agreed(**envelope, signature=self._agree(peer, session, ask))
        raise Malformed(where="kind", kind=ask.KIND)

    def _agree(self, peer: Peer, session: _Session, ask: Propose) -> str:
        snapshot = session.snapshot
        ours = sign(ask.certificate, self._org, self._keys)
        theirs = ours.model_copy(update={"org": peer.code, "signature": ask.signature})
        keys = {self._org: self._keys.verify_key, peer.code: peer.verify_key}
        said = check(ask.certificate, (ours, theirs), keys)
        expected = Certificate(
            parties=(peer.code, self._org),
            at=said.at,
            rules=self._rules,
            open=(session.grants, self._granted(peer.code)),
            lanes=lanes_of(self._org, peer.code, snapshot.cut),
            models=models_of(snapshot.hashes),
            salt=salt_hash(snapshot.basis.salt),
        )
        timely = abs(said.at - self._clock()) <= SIGNED_WITHIN
        if snapshot.waiting or not timely or expected.text() != ask.certificate:
            raise NotAgreed(waiting=len(snapshot.waiting), timely=timely)
        signatures = (ours.signature, ask.signature)
        self._keep(peer.code, said, ask.certificate, signatures, snapshot.basis)
        return ours.signature

    def _envelope(self, peer: Peer) -> dict[str, str]:
        return {"sender": self._org, "receiver": peer.code, "answering": "0" * 64}


def _known(snapshot: Snapshot, model: str) -> Hashes:
    try:
        return snapshot.hashes[model]
    except KeyError:
        raise Malformed(where="model", model=model) from None


_KINDS: dict[str, type[Ask]] = {k.KIND: k for k in (Open, AskRanges, AskRows, Propose)}
