"""新纪元声明: how a ledger that lost what it had signed goes on under another name, and says so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from domain.tree import HASH_SIZE, ProofInvalid, consistent, ours
from domain.values import OrgCode
from sync.book_returned import Renewed
from sync.book_witness import Seen
from sync.checkpoint import EPOCH_MAX, SIZE_MAX, epoch_of, verifiers
from sync.contradiction import proof_from
from sync.envelope import Batch, Message, Moment, Sealed
from sync.errors import AnotherEpoch, LaneFault, Rewritten
from sync.ledger_said import CheckpointText, Hash, Size
from sync.note import Note, unb64
from sync.store import LaneStore

RENEWAL_DAYS = 30
"""How old what a new epoch gives up may be: backups are kept as long. Beyond, people must meet."""

SHOWN_DAYS = 7
"""For how long a peer's new epoch is an alarm here."""


class RenewalInvalid(LaneFault):
    """对方的新纪元声明不成立。The statement of a new epoch does not hold."""

    mend = "请电话核对对方是否恢复了备份。Telephone: have they restored a backup?"


class RenewalTooOld(LaneFault):
    """对方的新纪元放弃了三十天以前见证过的台账。The new epoch gives up what is too long ago."""

    mend = (
        "请双方负责人当面核对；确认后重新登记对方名片。"
        "Let both sides' heads meet; then enrol their card anew."
    )


class Renewal(Message):
    """新纪元: of which ledger, from which size on, after which checkpoint, who, when, and why.

    `shared` is the size up to which the new ledger is the former one; `old` is the newest
    checkpoint of the former one that anybody has shown.
    """

    KIND: ClassVar[str] = "renewal"

    epoch: Annotated[int, Field(ge=2, le=EPOCH_MAX, strict=True)]
    size: Size
    root: Hash
    shared: Annotated[int, Field(ge=0, le=SIZE_MAX, strict=True)]
    old: CheckpointText
    at: Moment
    by: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500)]


def read(wire: str, keys: list[str]) -> Renewal:
    """A statement that one of the keys has signed, about a ledger of its own.

    Raises:
        RenewalInvalid, Malformed, TooLarge, NoteInvalid, NoteForged, NoteUnsigned,
        CheckpointInvalid.
    """
    sealed = Sealed(wire.encode())
    said = sealed.claims(Renewal)
    if not any(sealed.is_by(key) for key in keys):
        raise RenewalInvalid(peer=said.sender, because="not signed by its key")
    note = Note.read(said.old.encode())
    origin = note.text.partition("\n")[0]
    note.proved(verifiers(origin, keys))
    org, epoch = epoch_of(origin)
    if org != said.sender or epoch >= said.epoch:
        raise RenewalInvalid(peer=said.sender, because="it does not follow that ledger")
    if said.shared > said.size or len(unb64(said.root)) != HASH_SIZE:
        raise RenewalInvalid(peer=said.sender, because="its sizes do not fit")
    return said


class Renewing:
    """One for a node: whether a peer's new epoch is taken, and what of it is still to be proved.

    It must follow from its statement, and still begin with the newest checkpoint witnessed here
    that it claims to share: a ledger rewritten further back is refused as such.
    """

    def __init__(self, store: LaneStore, clock: Callable[[], datetime]) -> None:
        self._store, self._clock = store, clock
        self._asked: dict[OrgCode, int] = {}

    def asks(self, org: OrgCode) -> tuple[int, ...]:
        """From which size a peer's next checkpoint shall be proved."""
        return (self._asked[org],) if org in self._asked else ()

    def take(self, known: Seen, claim: Seen, batch: Batch, keys: list[str]) -> bool:
        """Whether a checkpoint of another epoch is proved to go on from the known one.

        Raises:
            AnotherEpoch: nothing is stated, or it is the former one.
            RenewalInvalid, RenewalTooOld, Rewritten.
        """
        assert batch.log is not None
        wire, org = batch.log.renewal, claim.org
        if wire is None or claim.epoch < known.epoch:
            raise AnotherEpoch(peer=org, known=known.epoch, epoch=claim.epoch)
        said = read(wire, keys)
        if said.sender != org or said.epoch != claim.epoch:
            raise RenewalInvalid(peer=org, because="it states another epoch", epoch=said.epoch)
        self._must_be_recent(known, said)
        base = self._store.last_within(org, known.epoch, said.shared)
        begun = Seen(org, said.epoch, said.size, unb64(said.root), said.old, said.at)
        for size, root in filter(None, (base, (begun.size, begun.root))):
            if not self._begins_with(size, root, claim, batch):
                return False
        self._asked.pop(org, None)
        asked = (each for each in self._store.asks_back() if each.org == org)
        lacking = sum(each.number - each.after for each in asked)
        self._store.take_renewal(Renewed(org, said.epoch, wire, known.size, lacking, self._clock()))
        for rumour in self._store.rumours(org):
            if rumour.seen.epoch < said.epoch:
                self._store.settle_rumour(rumour)
        return True

    def _must_be_recent(self, known: Seen, said: Renewal) -> None:
        since = self._store.given_up_since(known.org, known.epoch, said.shared)
        if since is not None and self._clock() - since > timedelta(days=RENEWAL_DAYS):
            raise RenewalTooOld(peer=known.org, since=since, days=RENEWAL_DAYS)

    def _begins_with(self, size: int, root: bytes, claim: Seen, batch: Batch) -> bool:
        assert batch.log is not None
        proof = [] if size == claim.size else proof_from(batch.log, size)
        if proof is None:
            self._asked[claim.org] = size
            return False
        try:
            consistent(ours(), size, claim.size, proof, root, claim.root)
        except ProofInvalid:
            raise Rewritten(peer=claim.org, known=size, size=claim.size) from None
        return True

    def alarms(self) -> dict[str, int]:
        """How many peers have lately begun a new epoch, or asked for facts they had sent."""
        since = self._clock() - timedelta(days=SHOWN_DAYS)
        return {
            "ledger-renewed": sum(each.at > since for each in self._store.renewals()),
            "ledger-asked-back": sum(each.at > since for each in self._store.asks_back()),
        }
