"""自查·通道: whether lanes, receipts and what witnesses have signed fit the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from eventsourcing.persistence import StoredEvent

from api.node import Node
from api.storage.snapshot import snapshot
from domain import suite
from domain.organization import Organization
from domain.records import digest, head
from domain.signet import Signet
from domain.values import OrgCode
from sync import renewal, trust
from sync.checkpoint import Checkpoint, believed, epoch_of, verifiers, witness_of
from sync.contradiction import Evidence
from sync.envelope import LaneReceipt, Sealed
from sync.errors import LaneFault
from sync.log import Signed
from sync.note import COSIGNATURE, Note, Verifier, witnessed_at
from sync.standing import START
from sync.verifier.defect import bad

_RECEIPTS = """
    SELECT r.*, (
        SELECT max(number) FROM lane_time t WHERE t.peer = r.peer AND hop = 'receipt'
    ) AS heard FROM lane_receipt r ORDER BY peer
"""
_SILENT = """
    SELECT DISTINCT witness FROM log_cosigned
    WHERE witness NOT IN (SELECT peer FROM lane_receipt) ORDER BY 1
"""
_ASIDE = """
    SELECT peer, number, stream, version, topic, state, evidence ->> 'erased' AS erased
    FROM quarantine WHERE stream IS NOT NULL ORDER BY peer, number, id
"""
_LEDGER = """
    SELECT originator_id, originator_version, topic, state FROM stored_events
    ORDER BY notification_id
"""


def receipts(node: Node) -> None:
    """Each receipt is signed by its peer, says what the row says, and is of what we sent."""
    us = _us(node)
    for row in node.database.rows(_RECEIPTS, {}):
        where = f"{row['peer']} 的回单 receipt"
        try:
            said = Sealed(row["wire"]).claims(LaneReceipt)
            signer = trust.signer(row["wire"], us)
        except LaneFault as fault:
            raise bad(where, str(fault)) from None
        columns = ("number", "root", "at", "refused", "stopped")
        same = all(row[name] == getattr(said, name) for name in columns)
        parties = (said.sender, said.receiver) == (row["peer"], node.ledger.org)
        if signer is None or not same or not parties:
            raise bad(where, "it does not say what the peer has signed")
        if node.lanes.root_out(row["peer"], row["number"]) != row["root"]:
            raise bad(where, "it is of another lane than the one there is")
        if row["heard"] is not None and row["heard"] > row["number"]:
            raise bad(where, f"a later one was heard, of number {row['heard']}")
    for row in node.database.rows(_SILENT, {}):
        raise bad(
            f"{row['witness']} 的回单 receipt", "it has witnessed, and its receipt is missing"
        )


def taken(node: Node) -> None:
    """How far each peer's lane is taken in follows from what was recorded, or set aside."""
    with snapshot(node.database) as at:
        lanes = {row["peer"]: row for row in at.rows("SELECT peer, number, root FROM lane_in")}
        asides: dict[OrgCode, dict[int, dict[str, Any]]] = {}
        for row in at.rows(_ASIDE):
            if asides.setdefault(row["peer"], {}).setdefault(row["number"], row) is not row:
                raise _in(row["peer"], row["number"], "it was set aside twice")
        peers = {*lanes, *asides, *node.relay.peers()}
        walks = {peer: _Walk(asides.get(peer, {})) for peer in peers}
        for stream, version, topic, state in at.stream(_LEDGER):
            record = StoredEvent(stream, version, topic, bytes(state))
            if walk := walks.get(head(record).meta.keeper):
                walk.take(record)
    for peer, walk in sorted(walks.items()):
        walk.pass_asides()
        said = lanes.get(peer, {"number": 0, "root": START.root})
        if walk.left or (said["number"], said["root"]) != (walk.number, walk.root):
            raise _in(peer, min(walk.left, default=walk.number), "what is here does not lead to it")


class _Walk:
    """Along one lane from its beginning, by the entries in the ledger and those set aside."""

    def __init__(self, aside: dict[int, dict[str, Any]]) -> None:
        self.number, self.root = 0, START.root
        self.left = {number: _said(row) for number, row in aside.items()}
        self._late = set(self.left.values())
        """What was recorded after all stands elsewhere in the ledger than on the lane."""

    def take(self, record: StoredEvent) -> None:
        """The next entry of the peer's in the ledger."""
        if (said := digest(record)) not in self._late:
            self.pass_asides()
            self._pass(said)

    def pass_asides(self) -> None:
        """What was set aside where the walk stands now."""
        while said := self.left.pop(self.number + 1, None):
            self._pass(said)

    def _pass(self, said: str) -> None:
        self.root = suite.digest(bytes.fromhex(self.root) + bytes.fromhex(said)).hex()
        self.number += 1


def _said(row: dict[str, Any]) -> str:
    """The digest of what was set aside; where it was erased, it was kept."""
    record = StoredEvent(row["stream"], row["version"], row["topic"], bytes(row["state"]))
    return row["erased"] or digest(record)


def _in(peer: OrgCode, number: int, because: str) -> Exception:
    return bad(f"← {peer} 第 {number} 号 number {number}", because)


# What was signed of ledgers, ours and others'.


def witnessed(node: Node) -> None:
    """Whatever is kept as somebody's signed word is that, and the row says the same."""
    for table, check in _SIGNED.items():
        for row in node.database.rows(f"SELECT * FROM {table} ORDER BY 1, 2", {}):  # noqa: S608
            try:
                fits = check(node, row)
            except (LaneFault, ValueError) as fault:
                raise bad(_place(table, row), str(fault)) from None
            if not fits:
                raise bad(_place(table, row), "the row does not say what was signed")


def _place(table: str, row: dict[str, Any]) -> str:
    names = ("id", "org", "via", "witness", "by", "epoch", "size")
    return " ".join((table, *(f"{name}={row[name]}" for name in names if name in row)))


def _seen(node: Node, row: dict[str, Any]) -> bool:
    """A peer's checkpoint under its signatures, and under ours with the time."""
    note, org = Note.read(row["note"].encode()), row["org"]
    said = Checkpoint.read(note.text)
    theirs = verifiers(said.origin, _keys(_us(node), org))
    ours = [_cosigner(node.ledger.org, key) for key in _ours(node)]
    note.proved(theirs)
    own = note.proved(ours)
    columns = (org, row["epoch"], row["size"], bytes(row["root"]))
    return (
        len(note.proved([*theirs, *ours])) == len(note.lines)
        and all(witnessed_at(line) == row["at"].replace(microsecond=0) for _, line in own)
        and columns == (*epoch_of(said.origin), said.size, said.root)
    )


def _cosigned(node: Node, row: dict[str, Any]) -> bool:
    mine: Signed | None = node.log.signed_at(row["epoch"], row["size"])
    if mine is None:
        return False
    keys = _keys(_us(node), row["witness"])
    note = Note.read(f"{Note.read(mine.note).text}\n{row['line']}".encode())
    return len(note.proved([_cosigner(row["witness"], key) for key in keys])) == len(note.lines)


def _contradicts(node: Node, row: dict[str, Any]) -> bool:
    proven = Evidence.read(bytes(row["file"])).proves(_keys(_us(node), row["org"]))
    return (proven.kind, proven.org) == (row["kind"], row["org"])


def _fences(node: Node, row: dict[str, Any]) -> bool:
    org, _ = epoch_of(_believed(row["note"], _ours(node)).origin)
    return org == node.ledger.org and row["by"] in _us(node).peers


def _renews(node: Node, row: dict[str, Any]) -> bool:
    said = renewal.read(row["wire"], list(_ours(node)))
    columns = (said.sender, said.epoch, said.size, said.shared)
    return columns == (node.ledger.org, row["epoch"], row["size"], row["shared"])


def _renewed(node: Node, row: dict[str, Any]) -> bool:
    said = renewal.read(row["wire"], list(_keys(_us(node), row["org"])))
    return (said.sender, said.epoch) == (row["org"], row["epoch"])


_SIGNED = {
    "log_witnessed": _seen,
    "log_rumour": _seen,
    "log_cosigned": _cosigned,
    "log_contradiction": _contradicts,
    "log_fence": _fences,
    "log_renewal": _renews,
    "log_renewed": _renewed,
}


SIGNED = tuple(_SIGNED)


def _believed(note: str, keys: Iterable[str]) -> Checkpoint:
    known = verifiers(note.partition("\n")[0], keys)
    return believed(note.encode(), known)[0]


def _cosigner(org: OrgCode, key: str) -> Verifier:
    return Verifier.of(witness_of(org), key, COSIGNATURE)


def _us(node: Node) -> Organization:
    return node.ledger.look_up(Organization, Organization.id_of(node.ledger.org))


def _ours(node: Node) -> tuple[str, ...]:
    """Every key we ever had."""
    signet = node.ledger.find(Signet, Signet.id_of(node.ledger.org))
    return signet.keys if signet else (node.keys.verify_key,)


def _keys(us: Organization, org: OrgCode) -> list[str]:
    """Every key an organization ever had: what it signed was signed, whatever came later."""
    peer = us.peers.get(org)
    now = [peer.verify_key] if peer else []
    return [*now, *(key.verify_key for key in us.former.get(org, ()))]
