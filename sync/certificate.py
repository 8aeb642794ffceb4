"""一致证明: the text that both organizations sign, and how anybody checks it with their keys."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from pydantic import Field, ValidationError

from domain import suite
from domain.agreement import CERTIFICATE_MAX, Signature
from domain.errors import Invalid
from domain.values import DataClass, OrgCode, Short
from sync import strict
from sync.envelope import Moment, Number, Root
from sync.errors import LaneFault
from sync.keys import NodeKeys, b64, verify
from sync.ranges import Part

MODELS_MAX = 32
"""Tables that one certificate names."""

Classes = Annotated[tuple[DataClass, ...], Field(max_length=len(DataClass))]

_SIGNED = b"waystation/certificate/v1\n"
_SALT = b"waystation/certificate/salt/v1\n"


class CertificateInvalid(Invalid):
    """一致证明不成立。The certificate does not hold."""

    mend = "请向出具方索取原件。Ask those who signed it for the original."


class Lane(Part):
    """通道到哪里: one direction of the cut; up to this number, whose root is this."""

    source: OrgCode
    destination: OrgCode
    number: Number
    root: Root


class Model(Part):
    """One table of the shared read models: its rows, and the root over them."""

    name: Short
    rows: Number
    root: Root


class Certificate(Part):
    """At this cut both hold these rows; the roots are keyed by the salt of one session."""

    parties: tuple[OrgCode, OrgCode]
    at: Moment
    rules: Short
    open: tuple[Classes, Classes]
    """What each of the parties lets the other open: nothing else of persons was compared."""
    lanes: tuple[Lane, Lane]
    models: Annotated[tuple[Model, ...], Field(max_length=MODELS_MAX)]
    salt: Root
    """The hash of the salt, which both keep beside: whoever has the rows and it, can check."""

    def text(self) -> str:
        """What is signed."""
        return self.model_dump_json()


def salt_hash(salt: bytes) -> str:
    """By what a certificate names the salt of its roots, and tells nothing of the rows."""
    return suite.digest(_SALT + salt).hex()


def sign(text: str, org: OrgCode, keys: NodeKeys) -> Signature:
    """Our signature under a certificate."""
    return Signature(org=org, signature=b64(keys.sign(_SIGNED + text.encode())))


def signed_by(text: str, signature: str, verify_key: str) -> bool:
    """Whether a signature is that key's."""
    try:
        raw = base64.b64decode(signature, validate=True)
    except (ValueError, binascii.Error):
        return False
    return verify(verify_key, _SIGNED + text.encode(), raw)


def check(text: str, signatures: tuple[Signature, ...], keys: dict[OrgCode, str]) -> Certificate:
    """What a certificate says, if both parties have signed it with these keys.

    Needs no network and no node.

    Raises:
        CertificateInvalid: with what is wrong about it.
    """
    if len(text) > CERTIFICATE_MAX:
        raise CertificateInvalid(because=f"more than {CERTIFICATE_MAX} characters")
    try:
        strict.read(text, "certificate")
        read = Certificate.model_validate_json(text)
    except LaneFault as fault:
        raise CertificateInvalid(because=str(fault)[:200]) from None
    except ValidationError as fault:
        where = ".".join(map(str, fault.errors(include_input=False)[0]["loc"]))
        raise CertificateInvalid(because="not in the form agreed on", where=where) from None
    under = {each.org: each.signature for each in signatures}
    for party in read.parties:
        if party not in keys:
            raise CertificateInvalid(because="no key is given for a party", party=party)
        if party not in under or not signed_by(text, under[party], keys[party]):
            raise CertificateInvalid(because="not signed by a party", party=party)
    ways = {(lane.source, lane.destination) for lane in read.lanes}
    if ways != {read.parties, read.parties[::-1]} or len(ways) != len(read.lanes):
        raise CertificateInvalid(because="the cut is not between the parties")
    return read
