"""自动: what a node asks of itself when an answer arrives or a deadline passes."""

from __future__ import annotations

from datetime import date
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from domain.access import Number
from domain.agreement import CertificateText, Position, Signature
from domain.commands.command import Command
from domain.values import Digest, DispatchNumber, OfferNumber, OrgCode, Text


class LapseOffer(Command):
    """邀约到期（自动）."""

    outflow: UUID
    offer: OfferNumber


class ConfirmCare(Command):
    """答复对方的接收（自动）."""

    outflow: UUID
    offer: OfferNumber
    host: OrgCode
    since: date
    acceptance: Digest


class NoteDeclination(Command):
    """记下对方不接收（自动）."""

    outflow: UUID
    offer: OfferNumber
    host: OrgCode
    reason_code: Text
    declination: Digest


class KeepCertificate(Command):
    """一致证明存档（自动）."""

    peer: OrgCode
    at: AwareDatetime
    certificate: CertificateText
    signatures: tuple[Signature, ...]
    salt: Digest
    position: Position


class SealReads(Command):
    """查阅登记存证（自动）."""

    first: Number
    last: Number
    root: Digest


class ForgetReads(Command):
    """查阅登记到期清除（自动）."""

    last: Number


class ExpireTransfer(Command):
    """介绍信超期（自动）."""

    transfer: UUID
    dispatch: DispatchNumber


class NoteAdmission(Command):
    """答复对方接收组织关系（自动）."""

    transfer: UUID
    dispatch: DispatchNumber
    host: OrgCode
    admitted_on: date
    admission: Digest


class NoteRefusal(Command):
    """记下对方不予接收（自动）."""

    transfer: UUID
    dispatch: DispatchNumber
    host: OrgCode
    reason_code: Text
    refusal: Digest


class CompleteTransfer(Command):
    """收到回执，办结转接（自动）."""

    transfer: UUID
    dispatch: DispatchNumber
    host: OrgCode
    returned_on: date
    slip: Digest


class ReceiveMember(Command):
    """转入建档（自动）."""

    transfer: UUID


class PassOn(Command):
    """告知此前的组织：该党员已续转（自动）."""

    transfer: UUID
    to: OrgCode


class TraceFile(Command):
    """核对并告知：此前的档案已到（自动）."""

    transfer: UUID
    file: UUID


class HandOn(Command):
    """向新的组织转交本组织的记录（自动）."""

    record: UUID
    to: OrgCode


class ForwardRecord(Command):
    """向新的组织转递第三方的记录（自动）."""

    transfer: UUID
    record: UUID
    version: Annotated[int, Field(ge=1, le=2**31 - 1)]
