"""销毁回执: what an organization signs when it has destroyed a person's keys."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from uuid import UUID

from domain.aggregate import Fact
from domain.destruction import Destruction
from domain.ledger import Ledger
from domain.organization import Organization
from domain.values import OrgCode
from sync.errors import Forged
from sync.keys import NodeKeys, b64, verify


def text(
    erasure: UUID,
    requester: OrgCode,
    org: OrgCode,
    keys: Sequence[UUID],
    passed_to: Sequence[OrgCode],
) -> bytes:
    """The very bytes that are signed."""
    return (
        f"waystation/destroyed/v1\n{erasure}\n{requester}\n{org}\n"
        f"{','.join(sorted(map(str, keys)))}\n{','.join(sorted(passed_to))}"
    ).encode()


def signed(  # noqa: PLR0913, PLR0917 - what is signed, and by whom.
    node_keys: NodeKeys,
    erasure: UUID,
    requester: OrgCode,
    org: OrgCode,
    keys: Sequence[UUID],
    passed_to: Sequence[OrgCode],
) -> str:
    """The signature under it, base64."""
    return b64(node_keys.sign(text(erasure, requester, org, keys, passed_to)))


def check(fact: Fact, sender: OrgCode, ledger: Ledger) -> None:
    """Whether a receipt is signed by a key that whoever destroyed has, or had; told by a sender.

    Raises:
        Forged.
    """
    if isinstance(fact, Destruction.Extended) and not fact.kept:
        signer = fact.org
    elif isinstance(fact, Destruction.Done):
        signer = sender
    else:
        return
    us = ledger.look_up(Organization, Organization.id_of(ledger.org))
    if fact.signature is None:
        raise Forged(sender=sender, topic=fact.TOPIC)
    if signer not in us.peers:
        return  # Whom we do not know, somebody with his card can verify.
    message = text(fact.erasure, fact.requester, signer, fact.keys, fact.passed_to)
    known = [us.peers[signer].verify_key, *(key.verify_key for key in us.former.get(signer, ()))]
    signature = base64.b64decode(fact.signature)
    if not any(verify(key, message, signature) for key in known):
        raise Forged(sender=sender, topic=fact.TOPIC)
