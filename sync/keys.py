"""密钥: the keys of one organization's node, kept in files outside its database."""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from domain.values import DataClass, OrgCode

SUITE = "Ed25519"
"""Signatures: PyNaCl alone verifies, because two libraries disagree on edge cases."""

_HPKE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_SEED_BYTES = 32
_NAMES = ("signing", "sealing", "master", "blind")


def b64(raw: bytes) -> str:
    """Standard base64."""
    return base64.b64encode(raw).decode()


def fingerprint(verify_key: str, sealing_key: str) -> str:
    """What two officers compare by telephone: 8 groups of 4 hex digits."""
    digest = hashlib.sha256(f"{verify_key}\n{sealing_key}".encode()).hexdigest()
    return "-".join(digest[i : i + 4] for i in range(0, 32, 4))


def usable(verify_key: str) -> bool:
    """Whether it is a proper Ed25519 key: a point of the main subgroup."""
    try:
        raw = base64.b64decode(verify_key, validate=True)
        return len(raw) == _SEED_BYTES and bool(crypto_core_ed25519_is_valid_point(raw))
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
class NodeKeys:
    """Signs for the organization, opens what is sealed to it, wraps what it keeps."""

    signing: SigningKey = field(repr=False)
    sealing: X25519PrivateKey = field(repr=False)
    master: bytes = field(repr=False)
    blind: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> NodeKeys:
        """New keys, kept nowhere."""
        return cls.of(*(os.urandom(_SEED_BYTES) for _ in _NAMES))

    @classmethod
    def of(cls, signing: bytes, sealing: bytes, master: bytes, blind: bytes) -> NodeKeys:
        """From four seeds of 32 bytes."""
        return cls(SigningKey(signing), X25519PrivateKey.from_private_bytes(sealing), master, blind)

    @classmethod
    def load(cls, folder: Path) -> NodeKeys:
        """The keys of a folder; made at the first start, readable by the owner alone."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        seeds = []
        for name in _NAMES:
            path = folder / f"{name}.key"
            if not path.exists():
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(os.urandom(_SEED_BYTES))
                    file.flush()
                    os.fsync(file.fileno())
            seeds.append(path.read_bytes())
        return cls.of(*seeds)

    @property
    def verify_key(self) -> str:
        """Public, base64."""
        return b64(bytes(self.signing.verify_key))

    @property
    def sealing_key(self) -> str:
        """Public, base64."""
        return b64(self.sealing.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return bytes(self.signing.sign(message).signature)

    def unwrap(self, wrapped: bytes, binding: bytes) -> bytes | None:
        """A data key sealed to us (HPKE), or None if it is not for us."""
        try:
            return _HPKE.decrypt(wrapped, self.sealing, info=binding)
        except (InvalidTag, ValueError):
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
