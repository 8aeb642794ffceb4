"""算法组: the algorithms by which a deployment hashes and seals, chosen once for all its nodes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SuiteName = Literal["international", "guomi"]

SECRET_SIZE = 32
"""Of every secret, whatever the suite: what a cipher needs is derived from it."""

_BLOCK = 64
_TAG = 16
_INNER, _OUTER = (bytes(x ^ pad for x in range(256)) for pad in (0x36, 0x5C))


class Cipher(Protocol):
    """Authenticated encryption with associated data, the tag behind the box."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """12 bytes of nonce, used once."""

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """Raises InvalidTag."""


class Sm4Gcm:
    """SM4 in GCM (RFC 8998), in the form of `cryptography`'s AEAD classes."""

    def __init__(self, key: bytes) -> None:
        self._key = algorithms.SM4(key)

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """The box with its tag."""
        encryptor = BlockCipher(self._key, modes.GCM(nonce)).encryptor()
        encryptor.authenticate_additional_data(associated_data or b"")
        return encryptor.update(data) + encryptor.finalize() + encryptor.tag

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """What was encrypted.

        Raises:
            InvalidTag.
        """
        if len(data) < _TAG:
            raise InvalidTag
        decryptor = BlockCipher(self._key, modes.GCM(nonce, data[-_TAG:])).decryptor()
        decryptor.authenticate_additional_data(associated_data or b"")
        return decryptor.update(data[:-_TAG]) + decryptor.finalize()


def sha256(data: bytes) -> bytes:
    """FIPS 180-4."""
    return hashlib.sha256(data).digest()


def sm3(data: bytes) -> bytes:
    """GB/T 32905-2016."""
    sponge = hashes.Hash(hashes.SM3())
    sponge.update(data)
    return sponge.finalize()


def _sm4(secret: bytes) -> Sm4Gcm:
    # A key of SM4 has 16 bytes, our secrets have 32.
    return Sm4Gcm(sm3(b"waystation/sm4/v1" + secret)[:16])


class Suite(NamedTuple):
    """What goes together."""

    name: SuiteName
    seals: str
    """How a sealed value names it."""
    hash: str
    """How a tree names it."""
    digest: Callable[[bytes], bytes]
    cipher: Callable[[bytes], Cipher]


SUITES: dict[str, Suite] = {
    "international": Suite("international", "A256GCM-HS256", "SHA-256", sha256, AESGCM),
    "guomi": Suite("guomi", "SM4GCM-HSM3", "SM3", sm3, _sm4),
}

_chosen = SUITES["international"]


def choose(name: SuiteName) -> None:
    """Work with it from now on, in this process: all its nodes are of one deployment."""
    global _chosen  # noqa: PLW0603 - bytes are hashed before anything in them can be read.
    _chosen = SUITES[name]


def chosen() -> Suite:
    """The deployment's."""
    return _chosen


def digest(data: bytes) -> bytes:
    """32 bytes, by the chosen hash."""
    return _chosen.digest(data)


def mac(key: bytes, data: bytes) -> bytes:
    """HMAC (RFC 2104) by the chosen hash."""
    # Written out: hmac.digest gives the interpreter lock away each time.
    block = (key if len(key) <= _BLOCK else digest(key)).ljust(_BLOCK, b"\0")
    return digest(block.translate(_OUTER) + digest(block.translate(_INNER) + data))
