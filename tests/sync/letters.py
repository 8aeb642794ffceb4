"""对账信: two organizations with keys and no database, for what is true of the letters alone."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from domain.organization import Peer
from domain.values import DataClass, OrgCode
from sync.answering import Answering
from sync.compare import AskRows, Cut, Open, Opened, Row, RowName, ToldRows, Waiting
from sync.comparing import Basis, Comparison
from sync.envelope import NO_ROOT, Sealed
from sync.keys import NodeKeys
from sync.ranges import Hashes
from tests.support.federation import CHENGDU, ORIGIN, Clock

KEYS = {
    code: NodeKeys.of(*(f"{code}{n}".encode().ljust(32) for n in range(4)))
    for code in (ORIGIN, CHENGDU)
}
RULES = "test"


def peer(code: OrgCode) -> Peer:
    keys = KEYS[code]
    return Peer(
        code=code,
        name=code,
        address=f"http://{code}.invalid",
        verify_key=keys.verify_key,
        sealing_key=keys.sealing_key,
        fingerprint=code,
    )


class Snap:
    """A snapshot of whatever a test says."""

    def __init__(self, held: list[bytes], waiting: tuple[Waiting, ...] = ()) -> None:
        self.hashes, self.waiting = {"x": Hashes(held)}, waiting
        self.basis = Basis(b"salt", 0)
        self.cut = Cut(told=0, told_root=NO_ROOT, heard=0, heard_root=NO_ROOT)

    def row(self, model: str, key: UUID) -> Row:
        assert model in self.hashes
        return Row(stream=key)


class Letters:
    """The origin answers Chengdu from such a snapshot."""

    def __init__(self, held: list[bytes], waiting: tuple[Waiting, ...] = ()) -> None:
        self.clock = Clock()
        self.kept: list[Any] = []
        self.answers = Answering(
            ORIGIN,
            KEYS[ORIGIN],
            self.clock,
            RULES,
            lambda _: (),
            lambda *_: Snap(held, waiting),
            lambda *said: self.kept.append(said),
        )
        self.lengths: list[int] = []
        self.session = uuid4()

    def post(self, wire: bytes) -> bytes:
        told = self.answers.answer(peer(CHENGDU), wire)
        self.lengths.append(len(told))
        return told

    def comparison(self) -> Comparison:
        return Comparison(CHENGDU, peer(ORIGIN), KEYS[CHENGDU], self.post, self.clock)

    # Chengdu may as well ask anything.

    def ask(self, kind: type[Any], **said: Any) -> bytes:
        letter = {"sender": CHENGDU, "receiver": ORIGIN, "session": self.session}
        return self.post(kind(**{**letter, "at": self.clock(), **said}).signed(KEYS[CHENGDU]))

    def open(self) -> Opened:
        wire = self.ask(Open, nonce="0" * 64, grants=tuple(DataClass))
        return Sealed(wire).open(Opened, KEYS[ORIGIN].verify_key)

    def rows(self, *names: tuple[str, UUID]) -> tuple[Row, ...]:
        wire = self.ask(AskRows, rows=tuple(RowName(model=m, key=k) for m, k in names))
        return Sealed(wire).open(ToldRows, KEYS[ORIGIN].verify_key).rows
