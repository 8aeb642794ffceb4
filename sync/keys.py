"""密钥: the keys of one organization's node, with what is done with them."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from functools import cached_property
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from domain import suite
from domain.values import DataClass, OrgCode

SUITE = "Ed25519"
"""Signatures: PyNaCl alone verifies, because two libraries disagree on edge cases."""

_HPKE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
SEED_SIZE = 32


def b64(raw: bytes) -> str:
    """Standard base64."""
    return base64.b64encode(raw).decode()


def fingerprint(verify_key: str, sealing_key: str) -> str:
    """What two officers compare by telephone: 8 groups of 4 hex digits."""
    digest = suite.digest(f"{verify_key}\n{sealing_key}".encode()).hex()
    return "-".join(digest[i : i + 4] for i in range(0, 32, 4))


def usable(verify_key: str) -> bool:
    """Whether it is a proper Ed25519 key: a point of the main subgroup."""
    try:
        raw = base64.b64decode(verify_key, validate=True)
        return len(raw) == SEED_SIZE and bool(crypto_core_ed25519_is_valid_point(raw))
    except ValueError:
        return False


def sealable(sealing_key: str) -> bool:
    """Whether something can be sealed to it: a proper X25519 key, not of low order."""
    try:
        wrap(b"", sealing_key, b"")
    except ValueError:
        return False
    return True


def verify(verify_key: str, message: bytes, signature: bytes) -> bool:
    """Whether the signature is that key's."""
    try:
        VerifyKey(base64.b64decode(verify_key)).verify(message, signature)
    except (BadSignatureError, ValueError, TypeError):
        return False
    return True


@dataclass(frozen=True)
class Pair:
    """一对密钥: one for signatures, one to which others seal; they come and go together."""

    signing: SigningKey = field(repr=False)
    sealing: X25519PrivateKey = field(repr=False)

    @classmethod
    def of(cls, signing: bytes, sealing: bytes) -> Pair:
        """From two seeds of 32 bytes."""
        return cls(SigningKey(signing), X25519PrivateKey.from_private_bytes(sealing))

    @classmethod
    def generate(cls) -> Pair:
        """A new pair, kept nowhere."""
        return cls.of(os.urandom(SEED_SIZE), os.urandom(SEED_SIZE))

    @property
    def seeds(self) -> bytes:
        """Secret: 64 bytes, from which the pair is made again."""
        return bytes(self.signing) + self.sealing.private_bytes_raw()

    @cached_property
    def verify_key(self) -> str:
        """Public, base64."""
        return b64(bytes(self.signing.verify_key))

    @cached_property
    def sealing_key(self) -> str:
        """Public, base64."""
        return b64(self.sealing.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return bytes(self.signing.sign(message).signature)


class NodeKeys:
    """Signs for the organization, opens what is sealed to it, wraps what it keeps.

    `signers` is one pair, or two while peers may know only the older one: the newest first.
    `openers` open what was sealed to earlier pairs and is still under way. `blind` makes the ids of
    persons and stays for ever; `search` makes what they are searched by, and can be changed.
    """

    def __init__(
        self,
        pair: Pair,
        master: bytes,
        blind: bytes,
        openers: tuple[X25519PrivateKey, ...] = (),
        search: bytes | None = None,
    ) -> None:
        self.signers: tuple[Pair, ...] = (pair,)
        self.openers = openers
        self.master, self.blind, self.search = master, blind, search

    def __repr__(self) -> str:
        return "NodeKeys()"

    @classmethod
    def generate(cls) -> NodeKeys:
        """New keys, kept nowhere."""
        return cls.of(*(os.urandom(SEED_SIZE) for _ in range(4)))

    @classmethod
    def of(cls, signing: bytes, sealing: bytes, master: bytes, blind: bytes) -> NodeKeys:
        """From four seeds of 32 bytes."""
        return cls(Pair.of(signing, sealing), master, blind)

    @property
    def verify_key(self) -> str:
        """Of the pair in use: public, base64."""
        return self.signers[0].verify_key

    @property
    def sealing_key(self) -> str:
        """Of the pair in use: public, base64."""
        return self.signers[0].sealing_key

    def sign(self, message: bytes) -> bytes:
        """By the pair in use: 64 bytes."""
        return self.signers[0].sign(message)

    def signatures(self, message: bytes) -> list[bytes]:
        """Of every pair that signs, the newest first."""
        return [pair.sign(message) for pair in self.signers]

    def unwrap(self, wrapped: bytes, binding: bytes) -> bytes | None:
        """A data key sealed to us (HPKE), or None if it is not for us."""
        for key in (*(pair.sealing for pair in self.signers), *self.openers):
            try:
                return _HPKE.decrypt(wrapped, key, info=binding)
            except (InvalidTag, ValueError):
                continue
        return None


def wrap(secret: bytes, sealing_key: str, binding: bytes) -> bytes:
    """Seal a data key to a peer's public key (HPKE, RFC 9180)."""
    raw = base64.b64decode(sealing_key, validate=True)
    public = X25519PublicKey.from_public_bytes(raw)
    return _HPKE.encrypt(secret, public, info=binding)


def grant_binding(
    sender: OrgCode, receiver: OrgCode, key_id: UUID, subject: UUID, data_class: DataClass
) -> bytes:
    """What a granted key is bound to."""
    return f"waystation/grant/v1\n{sender}\n{receiver}\n{key_id}\n{subject}\n{data_class}".encode()
