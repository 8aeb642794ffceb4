"""用途: for what each personal field is processed, on which legal basis, and for how long.

The articles are those of the Personal Information Protection Law (PIPL, 个人信息保护法). Whether a
duty under Party rules is a statutory duty in its sense is for the owner of a node to have answered;
what is optional therefore rests on consent. The years are defaults: a policy may give others.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from domain.values import DataClass


class Basis(StrEnum):
    """Why it may be processed."""

    DUTY = "履行法定职责所必需（PIPL 第十三条第三项）"
    CONSENT = "本人同意，可随时撤回（PIPL 第十三条第一项、第十五条）"


class Purpose(StrEnum):
    """用途: for what an organization may agree that a peer opens its facts; a closed list."""

    IDENTIFY = "identify"
    CARE = "care"
    TRANSFER = "transfer"
    HELP = "help"


SAID: dict[Purpose, str] = {
    Purpose.IDENTIFY: "确认身份、保持联系 to know who the member is, and to reach him",
    Purpose.CARE: "流动期间的管理和服务 the care while away",
    Purpose.TRANSFER: "办理组织关系转接 the transfer of the affiliation",
    Purpose.HELP: "走访慰问、困难帮扶 visits, help in difficulty",
}

CLASSES: dict[Purpose, tuple[DataClass, ...]] = {
    Purpose.IDENTIFY: (DataClass.IDENTITY, DataClass.CONTACT),
    Purpose.CARE: (DataClass.IDENTITY, DataClass.CONTACT, DataClass.NOTES),
    Purpose.TRANSFER: (DataClass.CONTACT, DataClass.NOTES),
    Purpose.HELP: (DataClass.FAMILY,),
}
"""Which classes each purpose needs. A test holds it against the fields: neither may have more."""


def purposes_of(classes: Iterable[DataClass]) -> tuple[Purpose, ...]:
    """For what data of these classes are processed."""
    wanted = set(classes)
    return tuple(each for each in Purpose if wanted & set(CLASSES[each]))


class Handling(NamedTuple):
    """One field of one kind of fact."""

    purpose: str
    basis: Basis
    under: Purpose | None = None
    """The purpose, as it is agreed upon with a peer; None for what no key seals."""


class Retention(NamedTuple):
    """保存期限: how long a class is kept once the person's file here is over, and why so long."""

    years: int
    reason: str


RETENTION: dict[DataClass, Retention] = {
    DataClass.IDENTITY: Retention(
        10, "与介绍信存根的保存期限一致，以便证明转接 as the stubs of letters: proof of a transfer"
    ),
    DataClass.CONTACT: Retention(
        1, "办结后仅为核实遗留事项 only to settle what is left open after the end"
    ),
    DataClass.FAMILY: Retention(
        1, "取得同意的目的已经实现 the purpose consented to is over (PIPL 19, 47)"
    ),
    DataClass.NOTES: Retention(
        3, "与处理情况记录的保存期限一致 as records of processing (PIPL 56)"
    ),
    DataClass.RESTRICTED: Retention(
        3, "与处理情况记录的保存期限一致 as records of processing (PIPL 56)"
    ),
}
"""It runs from the end of the membership, or from the transfer away, for each class alone."""

_FILE = Handling("党员建档，确认是谁 to know who the member is", Basis.DUTY, Purpose.IDENTIFY)
_REACH = Handling(
    "保持联系，通知重要事项 to stay in touch, to notify", Basis.DUTY, Purpose.IDENTIFY
)
_FAMILY = Handling("走访慰问、困难帮扶 visits, help in difficulty", Basis.CONSENT, Purpose.HELP)
_PERMIT = Handling("核验流动党员活动证 to check the activity permit", Basis.DUTY, Purpose.CARE)
_LIAISON = Handling("与流出地党支部联络 to reach the home branch", Basis.DUTY, Purpose.CARE)
_ABSENCE = Handling("外出期间的管理 the care while away", Basis.DUTY, Purpose.CARE)
_CLAIM = Handling(
    "与流出地核对，认领 to find the origin of who was found", Basis.DUTY, Purpose.CARE
)
_CONTACT = Handling(
    "了解思想工作生活情况，及时帮助 to know how he is, to help", Basis.DUTY, Purpose.CARE
)
_LOST = Handling("说明失联依据 the evidence of a loss of contact", Basis.DUTY, Purpose.CARE)
_MOVE = Handling("办理组织关系转接 the transfer of the affiliation", Basis.DUTY, Purpose.TRANSFER)
_SLIP = Handling("核对回执 to check the slip with its receiver", Basis.DUTY, Purpose.TRANSFER)

_REGISTERED = {
    **dict.fromkeys(("name", "number", "ethnic", "born_on", "former_occupation"), _FILE),
    **dict.fromkeys(("phone", "address"), _REACH),
    "family": _FAMILY,
}

PURPOSES: dict[str, dict[str, Handling]] = {
    "member.registered": _REGISTERED,
    "member.received": _REGISTERED,
    "member.phone_recorded": {"phone": _REACH},
    "member.address_recorded": {"address": _REACH},
    "member.identity_corrected": {"name": _FILE, "number": _FILE},
    "outflow.registered": {
        "permit": _PERMIT,
        "branch_contact": _LIAISON,
        "branch_phone": _LIAISON,
        "remark": _ABSENCE,
    },
    "outflow.returned": {"conduct": _ABSENCE},
    "outflow.contact_lost": {"basis": _LOST},
    "inflow.found": {"name": _CLAIM, "number": _CLAIM, "phone": _REACH, "note": _CLAIM},
    "inflow.linked": {"note": _ABSENCE},
    "inflow.details_recorded": {"phone": _REACH, "address": _REACH},
    "transfer.requested": {"reason": _MOVE},
    "transfer.completed": {"phone": _SLIP},
    "admission.slip_returned": {"phone": _SLIP},
    "contact.made": {"condition": _CONTACT, "matters": _CONTACT},
    "contact.visited": {"help_given": _CONTACT, "condition": _CONTACT},
    "contact.corrected": {"condition": _CONTACT, "matters": _CONTACT},
}
"""By stored name and field. A test holds it against the catalogue: neither may have more."""

PSEUDONYMOUS = Handling(
    "管理、统计与审计，不含姓名号码 care, statistics and audit, under a pseudonym", Basis.DUTY
)
"""Every fact about a person, as far as it is not sealed; kept as long as the ledger."""
