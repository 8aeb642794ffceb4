"""组织: an organization with its node, and the peers it has enrolled."""

from __future__ import annotations

from typing import ClassVar, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from domain.aggregate import Aggregate, Fact
from domain.errors import Invalid, Refusal
from domain.values import DataClass, OrgCode, Text, Value

OrgKind = Literal["department", "committee", "general_branch", "branch", "station"]
"""组织部门 · 党委 · 党总支 · 党支部 · 联络服务站."""


class PeerUnknown(Refusal):
    """尚未与该组织互换名片。That organization is not enrolled as a peer."""

    kind = "conflict"
    mend = "请先互换并核对名片。Exchange cards first, and compare the fingerprint by telephone."


class PeerIsSelf(Invalid):
    """不能与本组织互换名片。An organization cannot enrol itself."""


class CardChanged(Refusal):
    """该组织已登记另一张名片。That organization is enrolled with another card."""

    mend = (
        "密钥更换须由对方用旧密钥签名；请电话核实。"
        "A new key must be vouched for by the old one; ask them by telephone."
    )


class Peer(Value):
    """What is known of a peer: its address, public keys and the classes of data it may open."""

    code: OrgCode
    name: Text
    address: Text
    verify_key: Text
    sealing_key: Text
    fingerprint: Text
    grants: tuple[DataClass, ...] = ()


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

    def __init__(self, id: UUID, keeper: OrgCode) -> None:  # noqa: A002
        super().__init__(id, keeper)
        self.code: OrgCode = keeper
        self.name = ""
        self.kind: OrgKind = "department"
        self.city: str | None = None
        self.peers: dict[OrgCode, Peer] = {}

    @staticmethod
    def id_of(code: OrgCode) -> UUID:
        """One stream an organization."""
        return uuid5(NAMESPACE_URL, f"organization:{code}")

    @classmethod
    def found(cls, code: OrgCode, name: str, kind: OrgKind, city: str | None) -> Organization:
        organization = cls.begin(cls.id_of(code))
        organization.trigger(cls.Founded, code=code, name=name, kind=kind, city=city)
        return organization

    def enrol(self, peer: Peer) -> None:
        """Trust a peer's keys and say which classes of data it may open.

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

    def peer(self, code: OrgCode) -> Peer:
        """The enrolled peer of that code, or PeerUnknown."""
        try:
            return self.peers[code]
        except KeyError:
            raise PeerUnknown(peer=code, enrolled=sorted(self.peers)) from None
