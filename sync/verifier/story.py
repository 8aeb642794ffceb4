"""经过: what a passport says, for a person to read; Chinese first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from sync.verifier.defect import printable
from sync.verifier.opened import Field, is_sealed, sealed_fields
from sync.verifier.passport import Part
from sync.verifier.records import Record

_BEIJING = timezone(timedelta(hours=8))

WHAT = {
    "activity.held": "活动举行 activity held",
    "activity.cancelled": "活动取消 activity cancelled",
    "activity.shared": "活动告知 activity shared",
    "attendance.marked": "考勤 attendance marked",
    "attendance.corrected": "考勤更正 attendance corrected",
    "attendance.shared": "考勤转交 attendance shared",
    "claim.recognized": "确认是本组织党员 claim recognized",
    "claim.refused": "不是本组织党员 claim refused",
    "contact.made": "联系 contact made",
    "contact.visited": "走访慰问 visited",
    "contact.corrected": "联系更正 contact corrected",
    "contact.withdrawn": "联系撤回 contact withdrawn",
    "contact.shared": "联系记录转交 contact shared",
    "inflow.reported": "报到 reported at the host",
    "inflow.found": "发现 found by the host",
    "inflow.accepted": "接收 accepted",
    "inflow.declined": "不接收 declined",
    "inflow.linked": "参加组织生活 takes part",
    "inflow.details_recorded": "核实联系方式 details recorded",
    "inflow.ended": "流入结束 stay ended",
    "inflow.shared": "流入记录转交 inflow shared",
    "member.registered": "党员建档 member registered",
    "member.received": "转入建档 member received",
    "member.phone_recorded": "联系电话变更 phone recorded",
    "member.address_recorded": "联系地址变更 address recorded",
    "member.identity_corrected": "身份信息更正 identity corrected",
    "member.left": "外出 left",
    "member.came_back": "结束外出 absence over",
    "member.ended": "党籍终止 membership ended",
    "member.released": "转出 released",
    "member.disclosed": "告知 disclosed",
    "outflow.reported": "外出报告 departure reported",
    "outflow.correction_asked": "退回补正 correction asked",
    "outflow.registered": "外出登记 departure registered",
    "outflow.offered": "发出邀约 offered to a host",
    "outflow.confirmed": "确认交接 handover confirmed",
    "outflow.turned_down": "对方不接收 turned down",
    "outflow.lapsed": "邀约到期 offer lapsed",
    "outflow.recalled": "撤回邀约 offer recalled",
    "outflow.acceptance_void": "接收无效 acceptance void",
    "outflow.relocated": "转移 moved on",
    "outflow.returned": "返回 returned",
    "outflow.closed": "结束 closed",
    "outflow.voided": "作废 voided",
    "outflow.contact_lost": "失联 contact lost",
    "outflow.contact_restored": "恢复联系 contact restored",
    "outflow.shared": "告知 shared",
    "transfer.requested": "转接申请 transfer requested",
    "transfer.approved": "审批 transfer approved",
    "transfer.rejected": "退回 transfer rejected",
    "transfer.withdrawn": "撤销 transfer withdrawn",
    "transfer.sent": "转出 transfer sent",
    "transfer.expired": "介绍信超期 letter expired",
    "transfer.letter_lost": "介绍信遗失 letter lost",
    "transfer.reissued": "重新开具 letter issued again",
    "transfer.contested": "争议 transfer contested",
    "transfer.admitted": "对方已接收 admission noted",
    "transfer.admission_void": "接收无效 admission void",
    "transfer.completed": "办结 transfer completed",
    "transfer.forwarded": "转递 earlier record forwarded",
    "transfer.shared": "转接告知 transfer shared",
    "admission.admitted": "接收组织关系 affiliation admitted",
    "admission.refused": "不予接收 not admitted",
    "admission.slip_returned": "返回回执 slip returned",
    "admission.filed": "转入建档 file goes on here",
    "admission.passed_on": "续转 file passed on",
    "admission.traced": "溯源 earlier file traced",
    "erasure.requested": "申请删除 erasure requested",
    "erasure.granted": "同意删除 erasure granted",
    "erasure.restricted": "限制处理 restricted",
    "erasure.refused": "不予删除 erasure refused",
    "erasure.lifted": "解除限制 restriction lifted",
    "erasure.consulted": "查阅 restricted data consulted",
    "erasure.completed": "删除完毕 erasure completed",
    "destruction.done": "销毁回执 keys destroyed",
    "destruction.kept": "依法留存 kept by law",
    "destruction.extended": "转告销毁结果 what another has answered",
}
"""What happened, by topic; a later version's is shown by its own name."""

_ABOUT = {"absence": "流动 absence", "member": "党员 member"}
_LENGTH = 200


def told(parts: Sequence[Part]) -> Iterator[str]:
    """Line by line; names and values come from the file and are no markup."""
    return map(printable, _told(parts))


def _told(parts: Sequence[Part]) -> Iterator[str]:
    about = parts[0].about
    yield f"流动护照 passport · {_ABOUT[about.kind]} {about.id}"
    for part in parts:
        yield from _ledger(part)
    yield ""
    yield "经过 what happened"
    events, fields = _events(parts), _Fields(parts)
    for part, record in events:
        yield from _event(part, record, len(parts))
        yield from fields.of(record)
    yield ""
    yield from fields.kept_back(record for _, record in events)
    yield from _end(parts)


def _ledger(part: Part) -> Iterator[str]:
    size = part.checkpoint.size
    yield (
        f"· {part.by} 台账 ledger {part.checkpoint.origin}，共 {size} 条 entries；"
        f"本证 {len(part.records)} 条 facts，{_moment(part.made_at)} 出具 issued"
        + (f"，给 to {part.to}" if part.to else "")
    )
    if part.known:
        yield f"  密钥已核对 key known · 核对码 fingerprint {part.chain.fingerprint}"
    else:
        yield (
            f"  ⚠ 首次信任，请电话核对 key taken on first use, compare by telephone:"
            f" 核对码 fingerprint {part.chain.fingerprint}"
        )
    for witness in part.witnesses:
        yield f"  见证 cosigned by {witness.org}，{_moment(witness.at.isoformat())}"


def _events(parts: Sequence[Part]) -> list[tuple[Part, Record]]:
    """Each fact once, from its keeper's part if that is here, in the order of recording."""
    found: dict[tuple[Any, ...], tuple[Part, Record]] = {}
    for part in parts:
        for record in part.records:
            if record.topic.startswith("signet."):
                continue
            place = record.stream, record.version
            if place not in found or part.by == record.keeper:
                found[place] = part, record
    return sorted(found.values(), key=lambda each: str(each[1].meta.get("recorded_at")))


def _event(part: Part, record: Record, parts: int) -> Iterator[str]:
    meta = record.meta
    day = _get(meta, "occurred", "on")
    who = f"{record.keeper} {_get(meta, 'author', 'person')}（{_get(meta, 'author', 'role')}）"
    what = WHAT.get(record.topic, record.topic)
    vouched = "" if parts == 1 or part.by == record.keeper else f" · 仅见于 only in {part.by}"
    yield f"{day}  {what}"
    yield f"    {who}，{_moment(meta.get('recorded_at'))} 登记 recorded{vouched}"


class _Fields:
    """What a fact says, as far as any part shows it."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._opened = {field: plain for part in parts for field, plain in part.opened.items()}
        self._hidden = {name for part in parts for name in part.hidden}

    def of(self, record: Record) -> Iterator[str]:
        for name, value in record.said.items():
            if name != "meta":
                said = self._said(record, name) if is_sealed(value) else value
                yield f"    {name}: {said}"[:_LENGTH]

    def _said(self, record: Record, name: str) -> str:
        plain = self._opened.get(Field(record.stream, record.version, name))
        if plain is not None:
            return plain
        return "（已隐去 hidden）" if name in self._hidden else "（密封 sealed）"

    def kept_back(self, records: Iterable[Record]) -> Iterator[str]:
        """How often each hidden field stands there: hiding removes nothing."""
        places = Counter(
            name
            for record in records
            for name in sealed_fields(record.said)
            if name in self._hidden
            and Field(record.stream, record.version, name) not in self._opened
        )
        if places:
            named = "、".join(f"{name}（{places[name]} 处）" for name in sorted(places))
            yield (
                f"✓ 已隐去 hidden：{named}；密文在册并经证明，本文件不含其密钥"
                " their ciphertext is here and proved, their keys are not in this file"
            )


def _end(parts: Sequence[Part]) -> Iterator[str]:
    for part in parts:
        theirs = sorted({each.keeper for each in part.records} - {part.by})
        yield (
            f"✓ {part.by} 签名声明：截至其台账第 {part.checkpoint.size} 条，以上记录链各至此为止"
            f" it has signed that, as of entry {part.checkpoint.size}, these streams end here"
        )
        missing = [org for org in theirs if org not in {each.by for each in parts}]
        if missing:
            yield (
                f"  {'、'.join(missing)} 的记录由 {part.by} 收存，其本组织台账未附"
                f" as {part.by} holds them; their own ledger's part is not in this file"
            )
    yield (
        "✓ 未删一条：每个记录链从第 1 条起编号连续，止于上述签名声明之处"
        " no fact was removed: each stream runs from 1 without a gap to where it is signed to end"
    )
    yield "✓ 全部核对无误 all of it holds"


def _get(meta: dict[str, Any], name: str, inner: str) -> str:
    value = meta.get(name)
    return str(value.get(inner, "?"))[:_LENGTH] if isinstance(value, dict) else "?"


def _moment(text: Any) -> str:
    try:
        at = datetime.fromisoformat(str(text))
        return f"{at.astimezone(_BEIJING):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError):
        return str(text)[:_LENGTH]
