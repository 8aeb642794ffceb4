"""存档: the certificates this node keeps, and until when it was last proven in step with a peer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from api.node import Node
from api.service import BY_ITSELF
from domain.agreement import Agreement, Signature
from domain.commands import KeepCertificate
from domain.ledger import NotFound
from domain.values import OrgCode
from sync import strict
from sync.card import read_card
from sync.certificate import Certificate, CertificateInvalid, check
from sync.comparing import Basis
from sync.errors import LaneFault

FILE_MAX = 64 * 1024
"""Bytes of a certificate's file that are read."""


def keep(  # noqa: PLR0913, PLR0917 - a certificate, its two signatures, and what it rests on.
    node: Node,
    peer: OrgCode,
    said: Certificate,
    text: str,
    signatures: tuple[str, str],
    basis: Basis,
) -> None:
    """Keep a certificate as a fact; both signatures have been checked, ours is the first."""
    parties = (node.settings.code, peer)
    signed = tuple(
        Signature(org=org, signature=each) for org, each in zip(parties, signatures, strict=True)
    )
    kept = KeepCertificate(
        peer=peer,
        at=said.at,
        certificate=text,
        signatures=signed,
        salt=basis.salt.hex(),
        position=basis.position,
    )
    node.service.execute(kept, BY_ITSELF)


def last(node: Node, peer: OrgCode) -> Agreement.Certified | None:
    """The newest certificate about a peer that this node has signed."""
    code = node.settings.code
    kept = node.ledger.find(Agreement, Agreement.id_of(code, peer))
    return kept.last if kept is not None else None


def kept(node: Node, peer: OrgCode, version: int | None = None) -> Agreement.Certified:
    """A certificate about a peer by its number, which is its version; the newest without one.

    Raises:
        NotFound.
    """
    facts = node.ledger.facts(Agreement.id_of(node.settings.code, peer))
    found = [f for f in facts if version in (None, f.originator_version)]
    if not found or not isinstance(found[-1], Agreement.Certified):
        raise NotFound(kind="agreement", id=peer)
    return found[-1]


def proven_at(node: Node, peer: OrgCode) -> datetime | None:
    """When this node and a peer were last proven in step; None if never."""
    newest = last(node, peer)
    return newest.at if newest is not None else None


def paper(fact: Agreement.Certified) -> dict[str, Any]:
    """A certificate as it is handed out: `waystation certificate` checks the file."""
    return {
        "certificate": fact.certificate,
        "signatures": {each.org: each.signature for each in fact.signatures},
    }


def check_file(file: Path, cards: Sequence[Path]) -> Certificate:
    """What a file says, if it holds by the keys on these cards.

    Raises:
        CertificateInvalid: also for a card that is none.
    """
    keys = {}
    for path in cards:
        try:
            card = read_card(path.read_bytes().strip())
        except LaneFault as fault:
            because = f"名片不成立。It is no card that holds: {fault}"
            raise CertificateInvalid(file=str(path), because=because) from None
        keys[card.sender] = card.verify_key
    try:
        said = strict.read(file.read_bytes()[:FILE_MAX], "certificate")
    except LaneFault as fault:
        raise CertificateInvalid(file=str(file), because=str(fault)) from None
    return check_paper(said, keys)


def check_paper(said: Any, keys: dict[OrgCode, str]) -> Certificate:
    """What a file says, if it holds.

    Raises:
        CertificateInvalid.
    """
    shape = isinstance(said, dict) and isinstance(said.get("signatures"), dict)
    text = said.get("certificate") if shape else None
    under = said["signatures"] if shape else {}
    signatures = tuple(
        Signature.model_construct(org=org, signature=str(signature))
        for org, signature in under.items()
    )
    return check(text if isinstance(text, str) else "", signatures, keys)
