"""参考: writes the pages of docs/reference that follow from the code.

`python -m tests.support.reference` writes them; a test says when they are out of date.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from api.routes.commands import COMMANDS as PATHS
from domain import (
    activity,
    admission,
    agreement,
    attendance,
    erasure,
    inflow,
    member,
    organization,
    pact,
    passage,
    policy,
    signet,
    unit,
)
from domain.aggregate import Fact
from domain.agreement import CERTIFICATE_MAX
from domain.catalogue import AGGREGATES, FACTS, PRIVATE
from domain.commands import AUTOMATIC, Command, Departure
from domain.destruction import DESTROYED_MAX
from domain.errors import Invalid, Refusal
from domain.purposes import CLASSES, PSEUDONYMOUS, PURPOSES, RETENTION, SAID, Purpose
from domain.records import PERSONAL
from domain.values import NAME_MAX, NOTES_MAX, TEXT_MAX, DataClass
from sync.errors import LaneFault
from tests.support import asyncapi

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
PACKAGES = ("domain", "projections", "sync", "api")
MADE = "<!-- Made by `python -m tests.support.reference`; do not edit. -->\n"

WORDS = {
    "Text": f"text of at most {TEXT_MAX} characters",
    "Stated": f"as Text, and it says something: 1 to {TEXT_MAX} characters",
    "Notes": f"text of at most {NOTES_MAX:,} characters",
    "Name": f"1 to {NAME_MAX} characters, one line, no formula",
    "OrgCode": "a code: 2 to 40 lower-case letters, digits and hyphens, a letter first",
    "Day": "a date: 2016年01月04日, 2016-01-04, 2016.1.4 or 20160104",
    "IdNumber": "公民身份号码, 18 characters or the old 15 digits; the check digit is checked",
    "Phone": "a telephone number, kept as E.164",
    "Digest": "SHA-256 in hex",
    "DispatchNumber": "1, 2, 3 …: the number of a letter, or its equal online, of one transfer",
    "Letter": "the number of a letter: 1 to 64 characters",
    "ValidDays": f"1 to {passage.LETTER_VALID_MAX_DAYS}",
    "Short": "text of at most 64 characters",
    "Number": "1, 2, 3 …: the rows of the access log are numbered without a gap",
    "OfferNumber": "1, 2, 3 …: the number of an offer within one absence",
    "AwareDatetime": "a moment with its zone",
    "Peer": " · ".join(f"`{name}`" for name in organization.Peer.model_fields),
    "CertificateText": f"JSON in one line, at most {CERTIFICATE_MAX:,} characters, as signed",
    "Signature": " · ".join(f"`{name}`" for name in agreement.Signature.model_fields),
    "Succession": " · ".join(f"`{name}`" for name in signet.Succession.model_fields),
    "PublicKey": "32 bytes, base64",
    "Classes": " · ".join(f"`{each}`" for each in DataClass) + ": one or more",
    "Keys": f"ids of keys, at most {DESTROYED_MAX:,}",
    "SignatureText": "64 bytes, base64",
    "Streams": f"ids of streams, 1 to {erasure.STREAMS_MAX}",
    "Purpose": "1 to 64 characters",
    "Reads": "by stored name, the newest schema version a node can read",
    "PactTerms": " · ".join(f"`{name}`" for name in pact.PactTerms.model_fields),
    "Terms": " · ".join(f"`{name}`" for name in policy.Terms.model_fields),
}
CHOICES: dict[str, Any] = {
    "ActivityKind": activity.ActivityKind,
    "AskedBy": erasure.AskedBy,
    "Because": inflow.Because,
    "Category": member.Category,
    "Channel": passage.Channel,
    "DeclineReason": inflow.Reason,
    "ErasureGround": erasure.ErasureGround,
    "Ground": admission.Ground,
    "Level": passage.Level,
    "Mark": attendance.Mark,
    "OrgKind": organization.OrgKind,
    "Reason": inflow.Reason,
    "How": signet.How,
    "Succeeded": organization.Succeeded,
    "UnitKind": unit.UnitKind,
    "Via": inflow.Via,
}
SEALED = {
    "Identity": "identity",
    "Contactable": "contact",
    "Familial": "family",
    "Noted": "notes",
    "Restricted": "restricted",
}

# Commands whose path does more than take them, and fills in what only a node can know.
ELSEWHERE = {
    "RequestErasure": ["/erasures"],
    "GrantErasure": ["/erasures/{erasure}/grant"],
    "ConsultRestricted": ["/erasures/{erasure}/consultations"],
}

# For every aggregate: who keeps it, and who hears of it.
KEPT: dict[str, tuple[str, str]] = {
    "Organization": ("the organization itself", "nobody: it never leaves the node"),
    "Station": ("the organization that set it up", "its peers"),
    "Unit": ("the organization it is part of", "nobody"),
    "Policy": ("the organization", "its peers"),
    "Signet": ("the organization", "its peers, from the first change on"),
    "Member": (
        "the origin",
        "whoever is offered the care, is sent a transfer, or told for another purpose",
    ),
    "Outflow": (
        "the origin",
        "whoever is offered the care, receives the member, or told for another purpose",
    ),
    "Inflow": ("the host", "the origin"),
    "Claim": ("the origin", "the host that found the member"),
    "Transfer": ("the origin", "the receiver, from when it is sent"),
    "Admission": ("the receiver", "the origin; once filed, hosts the receiver is acquainted with"),
    "Contact": ("whoever made it", "the origin, or who had the care that day"),
    "Activity": ("its organizer", "whoever hears of a mark at it"),
    "Attendance": ("the activity's organizer", "the origin, or who had the care that day"),
    "Agreement": ("each of the two that signed", "the other"),
    "Access": ("the organization itself", "nobody: it never leaves the node"),
    "Erasure": (
        "whoever asks: the keeper of a file of the person's",
        "everybody who may hold a key of the person",
    ),
    "Destruction": ("each holder of keys", "whoever asked"),
    "Pact": ("whoever lets a peer open its facts", "that peer"),
}


def fields(kind: type[Any], base: type[Any]) -> Iterator[tuple[str, str, bool]]:
    """Name, type as it is written, and whether it must be given."""
    written: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        written |= vars(each).get("__annotations__", {})
    for name, info in kind.model_fields.items():
        if name not in base.model_fields:
            said = written[name].replace(" | None", "").replace('"', "")
            yield name, said, info.is_required()


def sentence(text: str | None) -> str:
    """The first paragraph of a docstring, in one line."""
    return re.sub(r"\s+", " ", (text or "").strip().split("\n\n")[0])


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '∣') for cell in line)} |\n" for line in lines)


def legend(used: str) -> str:
    """What the words in the type columns mean, as far as they are used."""
    named = {**WORDS, **{n: _choices(kind) for n, kind in CHOICES.items()}}
    rows = [(n, named[n]) for n in sorted(named) if re.search(rf"\b{n}\b", used)]
    return "\n## Values\n\n" + table(("written", "means"), rows)


def _choices(kind: Any) -> str:
    return " · ".join(f"`{value}`" for value in get_args(kind))


def facts() -> str:
    """事实: every stored name."""
    parts = []
    for aggregate in AGGREGATES:
        keeper, hearers = KEPT[aggregate.__name__]
        parts.append(
            f"\n## {aggregate.__name__}\n\n{sentence(aggregate.__doc__)}\n\n"
            f"Kept by {keeper}; heard by {hearers}.\n"
        )
        parts += [_fact(kind) for kind in FACTS.values() if kind.AGGREGATE is aggregate]
    body = "".join(parts)
    private = ", ".join(f"`{topic}`" for topic in sorted(PRIVATE))
    return (
        f"# 事实 Facts\n\n{MADE}\n"
        "Every name under which something is stored, with what it says.\n"
        "A name, once used, never goes away: the bytes of one example of each are kept in "
        "`tests/domain/facts/`, and are read the same for ever.\n\n"
        "Besides its own fields a fact carries its `meta`: schema version, when it was recorded, "
        "when it happened and how exactly that is known, author, keeper, subject, audience, "
        "source, causation, correlation, the edition of the policy it was judged by, and what it "
        "corrects.\n\n"
        "A *data class* in the third column means that the field is sealed from the first stored "
        "byte, with a key of its own that follows from the subject's key of that class; it opens "
        "for whoever was granted that one, or shown [the field's](passport.md).\n"
        f"No peer may author {private}.\n{body}{legend(body)}"
    )


def _fact(kind: type[Fact]) -> str:
    personal = dict(PERSONAL[kind.TOPIC])
    rows = [
        (
            f"`{name}`",
            "text" if said in SEALED else said,
            str(personal[name]) if name in personal else "",
            "" if required else "may be absent",
        )
        for name, said, required in fields(kind, Fact)
    ]
    version = f" (version {kind.VERSION})" if kind.VERSION > 1 else ""
    said = table(("field", "is", "data class", ""), rows) if rows else "No fields of its own.\n"
    return f"\n### `{kind.TOPIC}`{version}\n\n{sentence(kind.__doc__)}\n\n{said}"


def problems() -> str:
    """问题: every refusal, and every fault of a lane."""
    for package in PACKAGES:
        found = importlib.import_module(package)
        for module in pkgutil.walk_packages(found.__path__, f"{package}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    refused = "".join(
        f"\n## {kind.code()}\n\n{kind.sentence()}\n\n{kind.mend}\n\nKind: {kind.kind}.\n"
        for kind in sorted(known(Refusal) - {Refusal, Invalid}, key=lambda kind: kind.code())
    )
    faults = "".join(
        f"\n### {kind.code()}\n\n{kind.sentence()}\n" + (f"\n{kind.mend}\n" if kind.mend else "")
        for kind in sorted(known(LaneFault) - {LaneFault}, key=lambda kind: kind.code())
    )
    return (
        f"# 问题 Problems\n\n{MADE}\n"
        "Why a request is refused: the code is the last part of a problem's `type`, the first "
        "sentence its `title`, the second its `mend`: what can be done.\n"
        "The kind decides the status: missing 404, forbidden 403, invalid 422, conflict 409, "
        "stale 412, busy 503.\n"
        f"{refused}\n## Faults of a lane\n\n"
        "What can be wrong with what a peer sent. It reaches the operator, never a caller.\n"
        f"{faults}"
    )


def known(kind: type[Any]) -> set[type[Any]]:
    """A class and all below it that are ours."""
    below = {each for sub in kind.__subclasses__() for each in known(sub)}
    return {each for each in {kind, *below} if each.__module__.split(".")[0] in PACKAGES}


def all_commands() -> str:
    """命令: everything that can be asked of a node."""
    parts = []
    for module in (
        "home",
        "members",
        "origin",
        "host",
        "transfers",
        "contacts",
        "activities",
        "erasures",
        "automatic",
    ):
        parts.append(f"\n## {module}\n\n{sentence(_doc(module))}\n")
        parts += [
            _command(kind)
            for kind in vars(importlib.import_module(f"domain.commands.{module}")).values()
            if isinstance(kind, type)
            and issubclass(kind, Command)
            and kind.__module__ == f"domain.commands.{module}"
            and kind is not Departure
        ]
    body = "".join(parts)
    return (
        f"# 命令 Commands\n\n{MADE}\n"
        "One model for every way in: HTTP, command line, workbooks, the console.\n"
        "A field that is not listed is refused. What the path names is not repeated in the body.\n"
        f"{body}{legend(body)}"
    )


def _doc(module: str) -> str | None:
    return importlib.import_module(f"domain.commands.{module}").__doc__


def _command(kind: type[Command]) -> str:
    paths = [path for path, each, _ in PATHS if each is kind]
    paths += ELSEWHERE.get(kind.__name__, [])
    way = f"`POST {paths[0]}`" if paths else "Not over HTTP."
    if kind in AUTOMATIC:
        way = "The node asks it of itself."
    rows = [
        (f"`{name}`", said, "" if required else "optional")
        for name, said, required in fields(kind, Command)
    ]
    said = table(("field", "is", ""), rows)
    return f"\n### {kind.__name__}\n\n{sentence(kind.__doc__)} {way}\n\n{said}"


def purposes() -> str:
    """用途: why each personal field is processed, and for how long."""
    rows = [
        (
            f"`{topic}`",
            f"`{name}`",
            str(dict(PERSONAL[topic])[name]),
            f"`{each.under}`",
            each.purpose,
            each.basis,
        )
        for topic, said in PURPOSES.items()
        for name, each in said.items()
    ]
    agreed = [(f"`{p}`", SAID[p], ", ".join(map(str, CLASSES[p]))) for p in Purpose]
    kept = [(str(each), f"{known.years}", known.reason) for each, known in RETENTION.items()]
    return (
        f"# 用途与期限 Purposes\n\n{MADE}\n"
        "For what each personal field is processed and on which legal basis, and how long its "
        "class is kept.\n"
        "The articles are those of the 个人信息保护法 (PIPL). Whether a duty under Party rules is "
        "a statutory duty in its sense is for the owner of a node to have answered.\n\n"
        + table(
            ("fact", "field", "data class", "agreed as", "用途 purpose", "依据 legal basis"), rows
        )
        + f"\nWhat is not sealed of a fact about a person: {PSEUDONYMOUS.purpose}; "
        f"{PSEUDONYMOUS.basis}. It is kept as long as the ledger.\n"
        "\n## 同步约定的用途 For what a pact can be concluded\n\n"
        "A class can be agreed on for a purpose that needs it, and for no other.\n\n"
        + table(("purpose", "用途", "data classes"), agreed)
        + "\n## 保存期限 Retention\n\n"
        "Years from the end of the membership, or from the transfer away, after which the keys of "
        "a class are due to be destroyed. A policy may give others (`retention`), and say that "
        "the node destroys by itself what is due; otherwise it is listed at `GET /retention`.\n\n"
        + table(("data class", "years", "why so long"), kept)
    )


PAGES = {
    "facts.md": facts,
    "purposes.md": purposes,
    "problems.md": problems,
    "commands.md": all_commands,
    "asyncapi.yaml": asyncapi.document,
}


def write() -> None:
    """Write every page."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        (FOLDER / name).write_text(make())


if __name__ == "__main__":
    write()
