"""自动: what a node asks of itself when an answer arrives or a deadline passes."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from domain.commands.command import Command
from domain.values import Digest, OfferNumber, OrgCode, Text


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
