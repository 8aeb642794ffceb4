"""印信: the keys an organization is known by, with what its node can read."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, ClassVar, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import Field, StringConstraints

from domain.aggregate import Aggregate, Fact, must_be_two
from domain.errors import Refusal
from domain.values import OrgCode, Short, Text, Value

TOPICS_MAX = 2_000
"""Stored names that one node can read."""

KEYS_MAX = 100_000
"""Keys that one organization has in its life."""

PublicKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{43}=$")]
"""32 bytes, base64."""

Signature = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{86}==$")]
"""64 bytes, base64."""

Topic = Annotated[str, StringConstraints(pattern=r"^[a-z_]+(\.[a-z_]+)+$", max_length=80)]
Reads = Annotated[dict[Topic, Annotated[int, Field(ge=1, le=10_000)]], Field(max_length=TOPICS_MAX)]
"""By stored name, the newest schema version a node can read."""

How = Literal["rotated", "revoked", "replaced"]
"""换钥 · 吊销 · 补发: the key before counts until here, is not believed any more, or is lost."""


class KeyOutOfTurn(Refusal):
    """密钥已先行更换。The key was changed by somebody else first."""

    mend = "请查看现用密钥：waystation keys show。Look at the key in use: waystation keys show."


class Succession(Value):
    """换钥: one pair of keys hands over to the next; both sign the same words.

    `by_old` is missing where the old key is lost: then only a telephone can vouch for the new one.
    """

    number: Annotated[int, Field(ge=2, le=KEYS_MAX)]
    old_key: PublicKey
    verify_key: PublicKey
    sealing_key: PublicKey
    by_old: Signature | None = None
    by_new: Signature

    def words(self, how: How, org: OrgCode) -> bytes:
        """What both keys sign: good for one organization, one number and one purpose."""
        return (
            f"waystation/succession/v1\n{how}\n{org}\n{self.number}\n"
            f"{self.old_key}\n{self.verify_key}\n{self.sealing_key}"
        ).encode()


class Change(Fact):
    """One pair of keys follows another."""

    HOW: ClassVar[How]
    succession: Succession

    def apply(self, signet: Signet) -> None:
        signet.number = self.succession.number
        signet.old_key = None if self.HOW == "replaced" else signet.verify_key
        signet.verify_key = self.succession.verify_key
        signet.sealing_key = self.succession.sealing_key
        signet.keys += (signet.verify_key,)
        signet.changed_in = self.originator_version


class Signet(Aggregate):
    """The keys of one organization in their order; its peers hear every change."""

    class Opened(Fact):
        """启用密钥."""

        TOPIC: ClassVar[str] = "signet.opened"
        verify_key: PublicKey
        sealing_key: PublicKey
        reads: Reads

        def apply(self, signet: Signet) -> None:
            signet.verify_key, signet.sealing_key = self.verify_key, self.sealing_key
            signet.keys, signet.reads = (self.verify_key,), self.reads

    class Rotated(Change):
        """更换密钥."""

        TOPIC: ClassVar[str] = "signet.rotated"
        HOW: ClassVar[How] = "rotated"

    class Revoked(Change):
        """吊销密钥，启用新的."""

        TOPIC: ClassVar[str] = "signet.revoked"
        HOW: ClassVar[How] = "revoked"
        reason: Text
        second_person: Short

    class Replaced(Change):
        """密钥遗失，另行启用."""

        TOPIC: ClassVar[str] = "signet.replaced"
        HOW: ClassVar[How] = "replaced"
        reason: Text
        second_person: Short

    class Upgraded(Fact):
        """可读取的记录种类有变."""

        TOPIC: ClassVar[str] = "signet.upgraded"
        reads: Reads

        def apply(self, signet: Signet) -> None:
            signet.reads = self.reads

    class Shared(Fact):
        """密钥告知."""

        TOPIC: ClassVar[str] = "signet.shared"

    def __init__(self, id: UUID, keeper: OrgCode) -> None:  # noqa: A002
        super().__init__(id, keeper)
        self.number = 1
        self.verify_key = self.sealing_key = ""
        self.old_key: str | None = None
        """The key that vouched for the one in use."""
        self.keys: tuple[str, ...] = ()
        """Every key there ever was: none comes back."""
        self.changed_in = 0
        """The version in which the newest key came; 0 for the first key."""
        self.reads: dict[str, int] = {}

    @staticmethod
    @lru_cache(1024)
    def id_of(org: OrgCode) -> UUID:
        """One stream an organization."""
        return uuid5(NAMESPACE_URL, f"signet:{org}")

    @classmethod
    def open(cls, org: OrgCode, verify_key: str, sealing_key: str, reads: dict[str, int]) -> Signet:
        """Begin with the first pair of keys; nobody need hear of it, it is on the card."""
        signet = cls.begin(cls.id_of(org))
        signet.trigger(cls.Opened, verify_key=verify_key, sealing_key=sealing_key, reads=reads)
        return signet

    def change(
        self,
        how: How,
        succession: Succession,
        peers: tuple[OrgCode, ...],
        *,
        reason: str | None = None,
        second_person: str | None = None,
    ) -> None:
        """Go over to the next pair of keys.

        Raises:
            KeyOutOfTurn: it does not follow the key in use.
            SecondPersonNeeded: a key is given up by two persons.
        """
        follows = succession.number == self.number + 1 and succession.old_key == self.verify_key
        if not follows or succession.verify_key in self.keys:
            raise KeyOutOfTurn(number=succession.number, in_use=self.number)
        if how == "rotated":
            self.trigger(self.Rotated, share_with=peers, succession=succession)
            return
        must_be_two(second_person)
        kind = self.Revoked if how == "revoked" else self.Replaced
        self.trigger(
            kind,
            share_with=peers,
            succession=succession,
            reason=reason,
            second_person=second_person,
        )

    def share(self, peer: OrgCode) -> None:
        """Let a new peer hear what has changed since the first key: its card may be an old one."""
        if self.version > 1 and peer not in self.audience:
            self.trigger(self.Shared, share_with=(peer,))

    def tell(self, reads: dict[str, int], peers: tuple[OrgCode, ...]) -> None:
        """Say what the node can read, if it is not what was said last."""
        if reads != self.reads:
            self.trigger(self.Upgraded, share_with=peers, reads=reads)
