"""台账之言: what lane messages say of ledgers: checkpoints, their proofs, their cosignatures."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from sync.checkpoint import SIZE_MAX

NOTE_MAX = 2_048
"""Characters of a checkpoint that travels: three lines, and the signatures under them."""

PROOFS_MAX = 5
"""Consistency proofs beside a checkpoint: from what the receiver cosigned, and what it asks for."""

OTHERS_MAX = 4
"""Checkpoints of third parties in one batch; of more, each gets its turn."""

RENEWAL_MAX = 8_000
"""Characters of a statement of a new epoch that travels."""

HASHES_MAX = 63
"""Hashes of one such proof: no tree of fewer than 2**63 leaves needs more."""

Size = Annotated[int, Field(ge=1, le=SIZE_MAX, strict=True)]
Hash = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{43}=$")]
CheckpointText = Annotated[str, StringConstraints(max_length=NOTE_MAX)]


class Consistency(BaseModel):
    """一致性证明: that the ledger of that size is the beginning of the one in the checkpoint."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    size: Size
    hashes: Annotated[tuple[Hash, ...], Field(max_length=HASHES_MAX)]


class LogSaid(BaseModel):
    """What a sender says of its ledger, and what it has seen of the ledgers of others.

    `renewal` states a new epoch, as long as the receiver has taken no checkpoint of it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    checkpoint: CheckpointText
    proofs: Annotated[tuple[Consistency, ...], Field(max_length=PROOFS_MAX)] = ()
    others: Annotated[tuple[CheckpointText, ...], Field(max_length=OTHERS_MAX)] = ()
    renewal: Annotated[str, StringConstraints(max_length=RENEWAL_MAX)] | None = None


class LogHeard(BaseModel):
    """见证: the sender's newest checkpoint the receiver has taken, with its cosignature.

    `asks` are sizes, heard of elsewhere, from which the next checkpoint shall be proved as well.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    checkpoint: CheckpointText | None = None
    asks: Annotated[tuple[Size, ...], Field(max_length=PROOFS_MAX - 1)] = ()
