"""查阅登记: seals into the ledger what a node has recorded of who has read whose data."""

from __future__ import annotations

from datetime import date
from typing import Annotated, ClassVar
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import Field

from domain.aggregate import Aggregate, Fact, current
from domain.errors import Refusal
from domain.values import Digest, OrgCode

Number = Annotated[int, Field(ge=1, le=2**63 - 1)]


class SealOutOfTurn(Refusal):
    """查阅登记须按顺序存证。Reads are sealed in their order, none twice or left out."""

    mend = "无需办理，节点会自行再试。There is nothing to do: the node tries again by itself."


class Access(Aggregate):
    """What one organization's node has recorded, on one day, of reads of personal data."""

    class Recorded(Fact):
        """查阅登记存证: the rows from the first to the last, by the digest of the last in chain."""

        TOPIC: ClassVar[str] = "access.recorded"
        first: Number
        last: Number
        root: Digest

        def apply(self, access: Access) -> None:
            access.last = self.last

    class Forgotten(Fact):
        """查阅登记到期清除: the rows up to this one were kept as long as they had to be."""

        TOPIC: ClassVar[str] = "access.forgotten"
        last: Number

    def __init__(self, id: UUID, keeper: OrgCode) -> None:  # noqa: A002
        super().__init__(id, keeper)
        self.last: int | None = None

    @staticmethod
    def id_of(org: OrgCode, day: date) -> UUID:
        """One stream an organization and day: an officer's year is 100,000 seals."""
        return uuid5(NAMESPACE_URL, f"access:{org}:{day}")

    @classmethod
    def of_today(cls, org: OrgCode) -> Access:
        """The stream of the day, still empty."""
        return cls.begin(cls.id_of(org, current.get().today))

    def seal(self, first: int, last: int, root: str) -> None:
        """Put down that these rows are there.

        Raises:
            SealOutOfTurn: they do not follow those sealed before.
        """
        if last < first or (self.last is not None and first != self.last + 1):
            raise SealOutOfTurn(first=first, last=last, sealed=self.last)
        self.trigger(self.Recorded, first=first, last=last, root=root)

    def forget(self, last: int) -> None:
        """Put down that rows are let go, before they are: what is missing besides was taken."""
        self.trigger(self.Forgotten, last=last)
