"""密钥沿革: an organization's keys one after another, and whether they vouch for each other."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from domain import suite
from sync.verifier.defect import fail, get, unb64
from sync.verifier.records import Record

KEY, SIGNATURE = 32, 64
HOW = {"signet.rotated": "rotated", "signet.revoked": "revoked", "signet.replaced": "replaced"}


def signed(key: str, message: bytes, signature: bytes) -> bool:
    """Whether a signature is that key's (Ed25519, libsodium's rules)."""
    try:
        VerifyKey(base64.b64decode(key)).verify(message, signature)
    except (BadSignatureError, ValueError):
        return False
    return True


def fingerprint(verify_key: str, sealing_key: str) -> str:
    """核对码: what is compared by telephone."""
    digest = suite.digest(f"{verify_key}\n{sealing_key}".encode()).hex()
    return "-".join(digest[at : at + 4] for at in range(0, 32, 4))


def signet_of(org: str) -> UUID:
    """The stream of an organization's keys."""
    return uuid5(NAMESPACE_URL, f"signet:{org}")


class Link(NamedTuple):
    """One pair of keys, and how it followed the one before: "opened" for the first."""

    verify_key: str
    sealing_key: str
    how: str


class Chain(NamedTuple):
    """The keys of one organization, the first one first."""

    org: str
    links: tuple[Link, ...]

    @property
    def fingerprint(self) -> str:
        """Of the pair in use."""
        return fingerprint(self.links[-1].verify_key, self.links[-1].sealing_key)

    @property
    def signers(self) -> tuple[str, ...]:
        """By which something new may be signed: the key in use, and the one it has rotated from."""
        last = self.links[-1]
        before = self.links[-2:-1] if last.how == "rotated" else ()
        return (last.verify_key, *(link.verify_key for link in before))

    def must_have_signed(self, where: str, text: bytes, given: Mapping[str, Any]) -> None:
        """One key in use has signed, and nobody else.

        Raises:
            Defect.
        """
        for key, signature in given.items():
            if key not in self.signers:
                fail(where, "signed by a key that is not in use", key=key[:44])
            if not signed(key, text, unb64(signature, where, SIGNATURE)):
                fail(where, "something was changed after it was signed, or it is not by this key")
        if not given:
            fail(where, "nobody has signed it")

    def must_be_vouched(self, known: Collection[str]) -> None:
        """From a key that the reader knows, every later one is vouched for by the one before.

        Raises:
            Defect.
        """
        where = f"{self.org} 的密钥 keys"
        at = [n for n, link in enumerate(self.links) if link.verify_key in known]
        if not at:
            fail(where, "the known key is none of these", fingerprint=self.fingerprint)
        if any(link.how == "replaced" for link in self.links[at[-1] + 1 :]):
            because = "the known key was lost and replaced: compare the new one by telephone"
            fail(where, because, fingerprint=self.fingerprint)


def chain(org: str, records: Sequence[Record]) -> Chain:
    """The keys by the records of their stream, each change checked.

    Raises:
        Defect.
    """
    links: list[Link] = []
    for each in records:
        if each.topic == "signet.opened" and not links:
            links.append(_link(each.said, "opened", each.where))
        elif each.topic in HOW and links:
            said = get(each.said, "succession", dict, each.where)
            _must_follow(org, said, HOW[each.topic], links, each.where)
            links.append(_link(said, HOW[each.topic], each.where))
        elif each.topic == "signet.opened" or each.topic in HOW:
            fail(each.where, "keys begin once, with signet.opened")
    if not links:
        fail(f"{org} 的密钥 keys", "there are none")
    return Chain(org, tuple(links))


def _link(said: dict[str, Any], how: str, where: str) -> Link:
    pair = said.get("verify_key"), said.get("sealing_key")
    for key in pair:
        unb64(key, where, KEY)
    return Link(str(pair[0]), str(pair[1]), how)


def _must_follow(
    org: str, said: dict[str, Any], how: str, links: Sequence[Link], where: str
) -> None:
    new, number = _link(said, how, where), len(links) + 1
    if said.get("number") != number or said.get("old_key") != links[-1].verify_key:
        fail(where, "it does not follow the key in use")
    if new.verify_key in {link.verify_key for link in links}:
        fail(where, "a key that was given up comes back")
    words = (
        f"waystation/succession/v1\n{how}\n{org}\n{number}\n"
        f"{links[-1].verify_key}\n{new.verify_key}\n{new.sealing_key}"
    ).encode()
    if not signed(new.verify_key, words, unb64(said.get("by_new"), where, SIGNATURE)):
        fail(where, "the new key has not signed it")
    if how != "replaced" and not signed(
        links[-1].verify_key, words, unb64(said.get("by_old"), where, SIGNATURE)
    ):
        fail(where, "the old key has not signed it")
