"""授钥: a data key as it arrives beside a batch, opened if it was sealed to us for that purpose."""

from __future__ import annotations

import base64
from typing import Protocol

from domain.ledger import Beside, KeptKeyring
from domain.sealing import DataKey, key_id_of
from domain.values import OrgCode
from sync.envelope import Grant
from sync.keys import NodeKeys, grant_binding

_KEY_BYTES = 32


class GrantKeyring(KeptKeyring, Protocol):
    """A keyring that can also say how a granted key is kept."""

    def row(self, key: DataKey, minted_by: OrgCode) -> Beside:
        """The row, wrapped."""


def opened_grant(grant: Grant, sender: OrgCode, org: OrgCode, keys: NodeKeys) -> DataKey | None:
    """The key, if it was sealed to us by this sender for this person and class."""
    binding = grant_binding(sender, org, grant.key, grant.subject, grant.data_class)
    try:
        secret = keys.unwrap(base64.b64decode(grant.wrapped, validate=True), binding)
    except ValueError:
        return None
    if secret is None or len(secret) != _KEY_BYTES or key_id_of(secret) != grant.key:
        return None
    return DataKey(grant.key, grant.subject, grant.data_class, secret)
