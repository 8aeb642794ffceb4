"""命令: what can be asked of a node, one model for every way in; an unknown field is refused."""

from __future__ import annotations

from domain.commands.activities import (
    CancelActivity,
    CorrectAttendance,
    HoldActivity,
    MarkAttendance,
)
from domain.commands.automatic import ConfirmCare, LapseOffer, NoteDeclination
from domain.commands.command import Command
from domain.commands.contacts import (
    CorrectContact,
    RecordContact,
    RecordVisit,
    WithdrawContact,
)
from domain.commands.home import (
    AdoptPolicy,
    CloseStation,
    CloseUnit,
    EnrolPeer,
    EstablishStation,
    FoundOrganization,
    OpenUnit,
    RenameUnit,
)
from domain.commands.host import (
    AcceptInflow,
    DeclineInflow,
    EndInflow,
    FindMember,
    LinkParticipation,
    RecordInflowDetails,
    ReportInflow,
)
from domain.commands.members import (
    CorrectIdentity,
    EndMembership,
    RecordAddress,
    RecordPhone,
    RegisterMember,
)
from domain.commands.origin import (
    AskCorrection,
    CloseOutflow,
    Departure,
    OfferCare,
    RecallOffer,
    RecognizeClaim,
    RecordRelocation,
    RecordReturn,
    RefuseClaim,
    RegisterDeparture,
    RegisterOutflow,
    ReportLost,
    ReportOutflow,
    ReportRestored,
    ShareOutflow,
    VoidOutflow,
)

AUTOMATIC = frozenset({ConfirmCare, LapseOffer, NoteDeclination})
"""What no way in for people takes: a node asks it of itself."""

__all__ = [
    "AUTOMATIC",
    "AcceptInflow",
    "AdoptPolicy",
    "AskCorrection",
    "CancelActivity",
    "CloseOutflow",
    "CloseStation",
    "CloseUnit",
    "Command",
    "ConfirmCare",
    "CorrectAttendance",
    "CorrectContact",
    "CorrectIdentity",
    "DeclineInflow",
    "Departure",
    "EndInflow",
    "EndMembership",
    "EnrolPeer",
    "EstablishStation",
    "FindMember",
    "FoundOrganization",
    "HoldActivity",
    "LapseOffer",
    "LinkParticipation",
    "MarkAttendance",
    "NoteDeclination",
    "OfferCare",
    "OpenUnit",
    "RecallOffer",
    "RecognizeClaim",
    "RecordAddress",
    "RecordContact",
    "RecordInflowDetails",
    "RecordPhone",
    "RecordRelocation",
    "RecordReturn",
    "RecordVisit",
    "RefuseClaim",
    "RegisterDeparture",
    "RegisterMember",
    "RegisterOutflow",
    "RenameUnit",
    "ReportInflow",
    "ReportLost",
    "ReportOutflow",
    "ReportRestored",
    "ShareOutflow",
    "VoidOutflow",
    "WithdrawContact",
]
