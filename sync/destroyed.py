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
    """Whether a receipt is signed by a key that its sender has, or had.

    Raises:
        Forged.
    """
    if not isinstance(fact, Destruction.Done):
        return
    us = ledger.look_up(Organization, Organization.id_of(ledger.org))
    message = text(fact.erasure, fact.requester, sender, fact.keys, fact.passed_to)
    known = [us.peers[sender].verify_key, *(key.verify_key for key in us.former.get(sender, ()))]
    signature = base64.b64decode(fact.signature)
    if not any(verify(key, message, signature) for key in known):
        raise Forged(sender=sender, topic=fact.TOPIC)
