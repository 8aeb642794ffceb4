"""重算证明: the roots of a kept certificate, computed once more from the facts at its cut."""

from __future__ import annotations

from typing import Any, NamedTuple

from api.agreement.kept import kept
from api.agreement.snapshot import hashed
from api.node import Node
from domain.agreement import Agreement
from domain.ledger import Entry
from domain.values import OrgCode
from projections import tables
from projections.shared import MODELS, RULES, Sight
from sync.book_shared import Pinned, SharedBook
from sync.certificate import Certificate, CertificateInvalid, Model, salt_hash
from sync.comparing import models_of


class Recomputed(NamedTuple):
    """A certificate, and what its tables come to when they are computed from the facts."""

    said: Certificate
    version: int
    models: tuple[Model, ...]

    @property
    def differing(self) -> list[str]:
        """The tables that come to something else than both have signed."""
        signed = {model.name: model for model in self.said.models}
        now = {model.name: model for model in self.models}
        return sorted(n for n in signed.keys() | now.keys() if signed.get(n) != now.get(n))


def recompute(node: Node, peer: OrgCode, version: int | None = None) -> Recomputed:
    """A certificate about a peer, the newest if none is named, held against the facts.

    Read models are built anew beside the live ones, up to the position that was kept; nothing of
    it stays.

    Raises:
        NotFound, CertificateInvalid.
    """
    fact = kept(node, peer, version)
    said, salt = Certificate.model_validate_json(fact.certificate), bytes.fromhex(fact.salt)
    if said.salt != salt_hash(salt):
        raise CertificateInvalid(because="the salt kept beside it is not its own", salt=said.salt)
    if said.rules != RULES:
        raise CertificateInvalid(because="compared by other rules", rules=said.rules, here=RULES)
    (told,) = (lane.number for lane in said.lanes if lane.source == node.settings.code)
    # A connection of its own: the tables made here stand in front of the live ones.
    with node.database.connect() as conn, conn.transaction(force_rollback=True):
        book = SharedBook(Pinned(conn))
        _build(node, conn, book, fact)
        open_to = dict(zip(said.parties, said.open, strict=True))
        ours = frozenset(book.told(peer, told))
        sight = Sight(node.settings.code, peer, ours, open_to, salt)
        found = hashed(conn, sight, book.streams(peer, told, fact.position))
    return Recomputed(said, fact.originator_version, models_of(found))


def _build(node: Node, conn: Any, book: SharedBook, fact: Agreement.Certified) -> None:
    """The read models of the pair, from what the database holds: not from memory of it."""
    projections = [node.projector.projections[name] for name in MODELS]
    for projection in projections:
        tables.stand_in(conn, projection)
    position = 0
    while found := book.upto(position, fact.position):
        entries = [Entry(at, record, fact.at) for at, record in found]
        for projection in projections:
            tables.apply(conn, projection, entries)
        position = entries[-1].position


def told(found: Recomputed) -> dict[str, Any]:
    """As people read it."""
    now = {model.name: model for model in found.models}
    return {
        "at": found.said.at,
        "version": found.version,
        "equal": not found.differing,
        "differing": found.differing,
        "models": [
            {
                "name": model.name,
                "rows": model.rows,
                "root": model.root,
                "rows_now": now[model.name].rows if model.name in now else None,
                "root_now": now[model.name].root if model.name in now else None,
            }
            for model in found.said.models
        ],
    }
