"""组织: an organization with its node, and the peers it has enrolled."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Annotated, ClassVar, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import AwareDatetime, Field

from domain.aggregate import Aggregate, Fact, current, must_be_two
from domain.errors import Invalid, NothingChanged, Refusal
from domain.values import FactId, OrgCode, Short, Text, Value

OrgKind = Literal["department", "committee", "general_branch", "branch", "station"]
"""组织部门 · 党委 · 党总支 · 党支部 · 联络服务站."""


class PeerUnknown(Refusal):
    """尚未与该组织互换名片。That organization is not enrolled as a peer."""

    kind = "conflict"
    mend = "请先互换并核对名片。Exchange cards first, and compare the fingerprint by telephone."


class PeerIsSelf(Invalid):
    """不能与本组织互换名片。An organization cannot enrol itself."""

    mend = "这是本组织自己的名片；请选对方发来的文件。Choose the file they sent: this is your own."


class CardChanged(Refusal):
    """该组织已登记另一张名片。That organization is enrolled with another card."""

    mend = (
        "对方换钥会随通道自动到达；旧密钥已遗失的，电话核对后用 waystation rekey 重新登记。"
        "A change of keys arrives by itself on the lane; if the old key is lost, compare the new "
        "card by telephone and use waystation rekey."
    )


class KeyUsedBefore(Refusal):
    """该组织曾用过这把密钥，不能再启用。The organization had that key before, and gave it up."""

    mend = "请对方导出现用的名片。Ask them for the card they use now."


class Peer(Value):
    """What is known of a peer: how to reach and check it. What it may open stands in a pact."""

    code: OrgCode
    name: Text
    address: Text
    verify_key: Text
    sealing_key: Text
    fingerprint: Text
    lane: Literal["bundle"] | None = None
    """`bundle`: no network path leads there, its lanes travel as files alone."""
    reads: dict[str, int] | None = None
    """By stored name, the newest version its node could read when the card was made."""


Succeeded = Literal["rotated", "revoked", "compared"]
"""By both keys' word · the same, and the old key is not believed · by telephone, at once."""


class FormerKey(Value):
    """前任密钥: a key that a peer has given up, and what is still believed of it."""

    verify_key: Text
    fingerprint: Text
    until: int
    """The last lane number for which it counts."""
    succeeded: Succeeded
    since: AwareDatetime
    """When it was given up."""

    @property
    def revoked(self) -> bool:
        """Whether nothing is believed of it but what was recorded."""
        return self.succeeded != "rotated"


class Organization(Aggregate):
    """This node's own organization; its stream never leaves the node."""

    class Founded(Fact):
        """组织建档."""

        TOPIC: ClassVar[str] = "organization.founded"
        code: OrgCode
        name: Text
        kind: OrgKind
        city: Text | None = None

        def apply(self, organization: Organization) -> None:
            organization.code, organization.name = self.code, self.name
            organization.kind, organization.city = self.kind, self.city

    class PeerEnrolled(Fact):
        """名片登记."""

        TOPIC: ClassVar[str] = "organization.peer_enrolled"
        peer: Peer

        def apply(self, organization: Organization) -> None:
            organization.peers = {**organization.peers, self.peer.code: self.peer}

    class PeerRekeyed(Fact):
        """对方换钥: from now on by the new keys; by the old one no further than `until`."""

        TOPIC: ClassVar[str] = "organization.peer_rekeyed"
        peer: Peer
        succeeded: Succeeded
        until: Annotated[int, Field(ge=0)]
        since: AwareDatetime
        """By the peer's own clock, where it has announced the change."""
        announced: FactId | None = None
        reason: Text | None = None
        second_person: Short | None = None

        def apply(self, organization: Organization) -> None:
            code = self.peer.code
            if known := organization.peers.get(code):
                former = FormerKey(
                    verify_key=known.verify_key,
                    fingerprint=known.fingerprint,
                    until=self.until,
                    succeeded=self.succeeded,
                    since=self.since,
                )
                gone = (*organization.former.get(code, ()), former)
                organization.former = {**organization.former, code: gone}
            organization.peers = {**organization.peers, code: self.peer}

    def __init__(self, id: UUID, keeper: OrgCode) -> None:  # noqa: A002
        super().__init__(id, keeper)
        self.code: OrgCode = keeper
        self.name = ""
        self.kind: OrgKind = "department"
        self.city: str | None = None
        self.peers: dict[OrgCode, Peer] = {}
        self.former: dict[OrgCode, tuple[FormerKey, ...]] = {}
        """The keys that peers have given up, oldest first: old evidence is read with them."""

    @staticmethod
    @lru_cache(1024)
    def id_of(code: OrgCode) -> UUID:
        """One stream an organization."""
        return uuid5(NAMESPACE_URL, f"organization:{code}")

    @classmethod
    def found(cls, code: OrgCode, name: str, kind: OrgKind, city: str | None) -> Organization:
        organization = cls.begin(cls.id_of(code))
        organization.trigger(cls.Founded, code=code, name=name, kind=kind, city=city)
        return organization

    def enrol(self, peer: Peer) -> None:
        """Trust a peer's keys.

        Raises:
            PeerIsSelf: a node's own card.
            CardChanged: the code stands for other keys already.
        """
        if peer.code == self.code:
            raise PeerIsSelf(peer=peer.code)
        known = self.peers.get(peer.code)
        if known and known.verify_key != peer.verify_key:
            raise CardChanged(peer=peer.code, known=known.fingerprint, shown=peer.fingerprint)
        if known != peer:
            self.trigger(self.PeerEnrolled, peer=peer)

    def rekey(
        self, peer: Peer, succeeded: Succeeded, until: int, announced: FactId, since: datetime
    ) -> None:
        """Go over to the keys that a peer's old key has vouched for.

        Raises:
            PeerUnknown, NothingChanged.
            KeyUsedBefore: a key that was given up does not come back.
        """
        self._must_be_new(peer)
        self.trigger(
            self.PeerRekeyed,
            peer=peer,
            succeeded=succeeded,
            until=until,
            since=since,
            announced=announced,
        )

    def rekey_compared(self, peer: Peer, until: int, reason: str, second_person: str) -> None:
        """Go over to a new card for which only a telephone call vouches: two persons say so.

        Raises:
            PeerUnknown, NothingChanged, KeyUsedBefore, SecondPersonNeeded.
        """
        self._must_be_new(peer)
        must_be_two(second_person)
        self.trigger(
            self.PeerRekeyed,
            peer=peer,
            succeeded="compared",
            until=until,
            since=current.get().now,
            reason=reason,
            second_person=second_person,
        )

    def _must_be_new(self, peer: Peer) -> None:
        if self.peer(peer.code).verify_key == peer.verify_key:
            raise NothingChanged(peer=peer.code, fingerprint=peer.fingerprint)
        if any(key.verify_key == peer.verify_key for key in self.former.get(peer.code, ())):
            raise KeyUsedBefore(peer=peer.code, shown=peer.fingerprint)

    def peer(self, code: OrgCode) -> Peer:
        """The enrolled peer of that code, or PeerUnknown."""
        try:
            return self.peers[code]
        except KeyError:
            raise PeerUnknown(peer=code, enrolled=sorted(self.peers)) from None
