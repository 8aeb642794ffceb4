"""一致证明: what two organizations have signed about being in step, kept by each on its stream."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import AwareDatetime, Field, StringConstraints

from domain.aggregate import Aggregate, Fact
from domain.errors import Refusal
from domain.values import Digest, OrgCode, Text, Value

CERTIFICATE_MAX = 16_000
"""Characters of one certificate; it names two lanes and a dozen tables."""

CertificateText = Annotated[
    str, StringConstraints(max_length=CERTIFICATE_MAX, pattern=r"^\{[\x20-\x7e]+\}$")
]
"""The very characters that were signed: JSON in one line of ASCII."""


Position = Annotated[int, Field(ge=0, le=2**53 - 1)]


class CertificateNotLater(Refusal):
    """已有更晚的一致证明。A later certificate is kept already."""

    mend = "无需办理。There is nothing to do."


class Signature(Value):
    """One organization's signature under a certificate, base64."""

    org: OrgCode
    signature: Text


class Agreement(Aggregate):
    """The certificates that one organization keeps about itself and one peer."""

    class Certified(Fact):
        """一致证明存档: both have signed that their shared read models were equal at a cut."""

        TOPIC: ClassVar[str] = "agreement.certified"
        peer: OrgCode
        at: AwareDatetime
        certificate: CertificateText
        signatures: tuple[Signature, ...]
        salt: Digest
        """With which the roots can be computed again; the certificate holds its hash alone."""
        position: Position
        """Of the keeper's ledger at the cut."""

        def apply(self, agreement: Agreement) -> None:
            agreement.last = self

    def __init__(self, id: UUID, keeper: OrgCode) -> None:  # noqa: A002
        super().__init__(id, keeper)
        self.last: Agreement.Certified | None = None

    @staticmethod
    def id_of(keeper: OrgCode, peer: OrgCode) -> UUID:
        """One stream a pair and keeper."""
        return uuid5(NAMESPACE_URL, f"agreement:{keeper}:{peer}")

    def certify(self, peer: OrgCode, at: AwareDatetime, **said: Any) -> None:
        """Keep a certificate whose signatures have been checked.

        Raises:
            CertificateNotLater: one of that moment or later is kept.
        """
        if self.last is not None and at <= self.last.at:
            raise CertificateNotLater(at=at.isoformat(), kept=self.last.at.isoformat())
        self.trigger(self.Certified, share_with=(peer,), peer=peer, at=at, **said)
