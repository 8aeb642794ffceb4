"""证据说明: what an evidence file says, for a person to read; Chinese first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from sync.verifier.answer import Answer
from sync.verifier.complete import Stretch, columns
from sync.verifier.defect import printable
from sync.verifier.evidence import Evidence, Field, fields, word
from sync.verifier.explained import Explanation
from sync.verifier.notes import Checkpoint
from sync.verifier.records import Record

_BEIJING = timezone(timedelta(hours=8))
_LENGTH = 200

SEALED = "（密封 sealed）"

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")
_ORGANIZATIONS = frozenset({"host", "origin", "to", "peer", "requester"})
"""Fields that name an organization by its code."""

MARKS = {
    "subject": "当事人 subject",
    "person": "经办人 person",
    "org": "记录组织 organization",
    "topic": "事实类型 type",
    "source": "来源文件 source file",
    "correlation": "同一批次 correlation",
    "causation": "起因 causation",
    "from_day": "发生日期自 from day",
    "to_day": "发生日期至 to day",
}
"""What a question asked for."""


def told(evidence: Evidence) -> Iterator[str]:
    """Line by line; names and values come from the file and are no markup.

    Raises:
        Defect: a key in the file does not open what it is for.
    """
    return map(printable, _told(evidence))


def _told(evidence: Evidence) -> Iterator[str]:
    claim = evidence.claim
    said, by = claim.said, claim.checkpoint.org
    yield f"审计证据 evidence · {by} 台账 ledger {claim.checkpoint.origin}"
    yield (
        f"{moment(said['made_at'])} 由 by {said['person']}（{said['role']}）"
        f"出具，用途 purpose：{word(evidence, 'purposes', said['purpose'])}"
    )
    yield f"问题 question：{asked(claim.question)}"
    yield from _ledger(claim.checkpoint, claim.stretch)
    if evidence.known:
        yield f"密钥已核对 key known · 核对码 fingerprint {evidence.chain.fingerprint}"
    else:
        yield (
            "⚠ 首次信任，请电话核对 key taken on first use, compare by telephone:"
            f" 核对码 fingerprint {evidence.chain.fingerprint}"
        )
    for witness in evidence.witnesses:
        yield f"见证 cosigned by {witness.org}，{moment(witness.at.isoformat())}"
    yield f"文件摘要 SHA-256 {evidence.digest}"
    yield ""
    for made, _ in evidence.proved.rows:
        yield from _row(evidence, made)
    yield ""
    yield _counted(claim.stretch, len(evidence.proved.rows))


def answered(answer: Answer) -> Iterator[str]:
    """The same of one answer that was proved."""
    by = answer.by
    yield printable(f"历史查询 history · {by} 台账 ledger {answer.checkpoint.origin}")
    yield printable(f"问题 question：{asked(answer.question)}")
    yield from _ledger(answer.checkpoint, answer.stretch)
    for witness in answer.witnesses:
        yield printable(f"见证 cosigned by {witness.org}，{moment(witness.at.isoformat())}")
    yield _counted(answer.stretch, len(answer.proved.rows))


def explained(explanation: Explanation) -> Iterator[str]:
    """The facts behind a value, each of which is proved."""
    checkpoint = explanation.checkpoint
    yield printable(f"解释 explain · {checkpoint.org} 台账 ledger {checkpoint.origin}")
    yield printable(f"{explanation.list}.{explanation.field} = {explanation.value}"[:_LENGTH])
    for made in explanation.facts:
        of = columns(made)
        by = f"{made.keeper} {of['person']}，{moment(of['recorded_at'])}"
        yield printable(f"第 {made.place + 1} 条 · {of['on_day']} · {made.topic} · {by}")
    for witness in explanation.witnesses:
        yield printable(f"见证 cosigned by {witness.org}，{moment(witness.at.isoformat())}")
    yield "✓ 以上事实均在签名台账之中 each of these facts is in the signed ledger"


def asked(question: Mapping[str, str]) -> str:
    """What was asked for."""
    marks = (f"{MARKS[name]}={value}" for name, value in question.items())
    return "；".join(marks) or "全部事实 every fact"


def _ledger(checkpoint: Checkpoint, stretch: Stretch) -> Iterator[str]:
    yield (
        f"范围 range：{stretch.where}；台账截至第 {checkpoint.size} 条的签名检查点"
        f" under the signed checkpoint of size {checkpoint.size}"
    )


def _row(evidence: Evidence, made: Record) -> Iterator[str]:
    of = columns(made)
    who = f"{organization(evidence, made.keeper)} {of['person']}（{_role(made)}）"
    yield f"第 {made.place + 1} 条 · {of['on_day']} · {word(evidence, 'topics', made.topic)}"
    ruled = f" · 依制度第 {policy} 版 by policy" if (policy := made.meta.get("policy")) else ""
    yield f"    {who}，{moment(of['recorded_at'])} 登记 recorded · {made.topic}{ruled}"
    for field in fields(evidence, made):
        value = shown(evidence, field)
        yield f"    {field.label}：{SEALED if value is None else value}"[:_LENGTH]


def shown(evidence: Evidence, field: Field) -> str | None:
    """A value as people read it; None while it is sealed."""
    if field.value is None:
        return None
    if field.name in _ORGANIZATIONS:
        return organization(evidence, field.value)
    return moment(field.value) if _MOMENT.match(field.value) else field.value


def organization(evidence: Evidence, code: str) -> str:
    """By its name, as the file gives it, and its code."""
    name = word(evidence, "organizations", code)
    return code if name == code else f"{name}（{code}）"


def _role(made: Record) -> str:
    author = made.meta["author"]
    return str(author.get("role", "?"))[:_LENGTH]


def _counted(stretch: Stretch, rows: int) -> str:
    entries = stretch.upto - stretch.after
    return (
        f"✓ 范围内 {entries} 条逐条核对：{rows} 条符合，其余 {entries - rows} 条不符合，"
        f"无遗漏、无添加 all {entries} entries of the range were checked:"
        f" {rows} are the answer, none left out, none added"
    )


def moment(text: Any) -> str:
    """A moment by the civil clock; what is none stays as it is."""
    try:
        at = datetime.fromisoformat(str(text))
        return f"{at.astimezone(_BEIJING):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError):
        return str(text)[:_LENGTH]
