"""样例: one example of every stored name, and the files that fix its bytes for good.

`python -m tests.support.golden` writes the files that are missing. It never changes one: what a
node has stored stays readable, whatever the code becomes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

from domain import suite
from domain.aggregate import Fact, Meta
from domain.agreement import Signature
from domain.catalogue import FACTS
from domain.pact import PactTerms
from domain.policy import Terms
from domain.purposes import Purpose
from domain.records import Encoded, digest, encode
from domain.sealing import DataKey
from domain.signet import Succession
from domain.values import Author, DataClass, FactId, Occurred, Precision, Source
from tests.support.people import peer
from tests.support.story import CHENGDU, ORIGIN, name

_FACTS = Path(__file__).parents[1] / "domain" / "facts"


def folder() -> Path:
    """The files of the suite in use: what it sealed and hashed is fixed as well."""
    name = suite.chosen().name
    return _FACTS if name == "international" else _FACTS / name


_MEMBER, _AWAY, _HERE, _DAY = name("member"), name("outflow"), name("inflow"), name("activity")
_MOVE = name("transfer")
_PERSON = {"name": "张三", "number": "620902197702264860"}
_WHERE = {"phone": "+8613900001234", "address": "四川省成都市武侯区"}
_SAID = {"condition": "身体良好，工作稳定", "matters": "希望参加夜校"}
_KEYS = {"verify_key": "v" * 43 + "=", "sealing_key": "s" * 43 + "="}
_SUCCESSION = Succession(
    number=2, old_key="o" * 43 + "=", by_old="A" * 86 + "==", by_new="B" * 86 + "==", **_KEYS
)

_TERMS = PactTerms(
    purposes=(Purpose.IDENTIFY, Purpose.CARE),
    classes=(DataClass.IDENTITY, DataClass.CONTACT),
    effective_from=date(2026, 1, 1),
    until=date(2026, 12, 31),
    document="酒组协〔2026〕3号",
    signed_by="王处长、李站长",
)

EXAMPLES: dict[str, dict[str, Any]] = {
    "organization.founded": {
        "code": ORIGIN,
        "name": "酒泉市委组织部",
        "kind": "department",
        "city": "酒泉",
    },
    "organization.peer_enrolled": {"peer": peer(CHENGDU)},
    "organization.peer_rekeyed": {
        "peer": peer(CHENGDU).model_copy(update={"reads": {"member.registered": 1}}),
        "succeeded": "compared",
        "until": 12,
        "since": datetime(2026, 1, 5, 1, 0, tzinfo=UTC),
        "announced": FactId(stream=name("signet"), version=2),
        "reason": "密钥遗失，电话核对",
        "second_person": "li",
    },
    "access.forgotten": {"last": 6},
    "access.recorded": {"first": 7, "last": 12, "root": "d" * 64},
    "station.established": {
        "code": "cd-1",
        "name": "驻蓉联络服务站",
        "city": "成都",
        "approval": "酒组发〔2025〕1号",
        "host_office": "成都市武侯区委组织部",
    },
    "station.closed": {"reason": "合并"},
    "unit.opened": {"name": "第一支部", "kind": "branch", "parent": name("unit"), "depth": 2},
    "unit.renamed": {"name": "第二支部"},
    "unit.closed": {"reason": "撤并"},
    "policy.adopted": {
        "effective_from": date(2025, 1, 1),
        "terms": Terms(contact_interval_days=14, document="酒组发〔2025〕2号"),
    },
    "policy.shared": {},
    "signet.opened": {**_KEYS, "reads": {"member.registered": 1}},
    "signet.rotated": {"succession": _SUCCESSION},
    "signet.revoked": {
        "succession": _SUCCESSION,
        "reason": "存放密钥的电脑被盗",
        "second_person": "li",
    },
    "signet.replaced": {
        "succession": _SUCCESSION.model_copy(update={"by_old": None}),
        "reason": "硬盘损坏",
        "second_person": "li",
    },
    "signet.shared": {},
    "signet.upgraded": {"reads": {"member.registered": 2}},
    "member.registered": {
        **_PERSON,
        **_WHERE,
        "sex": "女",
        "ethnic": "汉族",
        "born_on": "1977-02-26",
        "education": "大专",
        "category": "正式党员",
        "joined_on": date(2000, 7, 1),
        "full_on": date(2001, 7, 1),
        "branch": "东沟村党支部",
        "former_occupation": "农民",
        "family": "配偶在家务农",
    },
    "member.received": {
        **_PERSON,
        **_WHERE,
        "sex": "女",
        "ethnic": "汉族",
        "born_on": "1977-02-26",
        "education": "大专",
        "category": "正式党员",
        "joined_on": date(2000, 7, 1),
        "full_on": date(2001, 7, 1),
        "branch": "武侯区第一党支部",
        "former_occupation": "农民",
        "family": "配偶在家务农",
        "transfer": _MOVE,
        "origin": ORIGIN,
        "file": _MEMBER,
        "last": "e" * 64,
    },
    "member.released": {"transfer": _MOVE, "to": CHENGDU, "to_name": "成都市武侯区委"},
    "member.phone_recorded": {"phone": _WHERE["phone"]},
    "member.address_recorded": {"address": _WHERE["address"]},
    "member.identity_corrected": {**_PERSON, "reason": "录入错误"},
    "member.left": {"outflow": _AWAY},
    "member.came_back": {"outflow": _AWAY},
    "member.ended": {"how": "died", "document": "死亡证明"},
    "member.disclosed": {"to": CHENGDU, "purpose": "日常管理"},
    "outflow.reported": {
        "member": _MEMBER,
        "planned_on": date(2025, 3, 1),
        "reason": "务工",
        "destination": "四川省成都市",
    },
    "outflow.correction_asked": {"reason": "缺少去向"},
    "outflow.registered": {
        "member": _MEMBER,
        "left_on": date(2025, 3, 1),
        "reason": "务工",
        "scope": "省外",
        "destination": "四川省成都市",
        "host": CHENGDU,
        "permit": "620902001",
        "permit_held": True,
        "branch_contact": "王书记",
        "branch_phone": "+8613900005678",
        "contact_state": "正常",
        "remark": "每月联系一次",
    },
    "outflow.offered": {
        "offer": 1,
        "host": CHENGDU,
        "until": datetime(2025, 4, 1, 1, tzinfo=UTC),
        "claim": _HERE,
    },
    "outflow.confirmed": {
        "offer": 1,
        "host": CHENGDU,
        "since": date(2025, 3, 10),
        "acceptance": "a" * 64,
    },
    "outflow.turned_down": {"offer": 1, "reason_code": "not_here", "declination": "d" * 64},
    "outflow.lapsed": {"offer": 1},
    "outflow.recalled": {"offer": 1, "reason": "去向有误"},
    "outflow.acceptance_void": {
        "offer": 1,
        "host": CHENGDU,
        "acceptance": "a" * 64,
        "because": "lapsed",
    },
    "outflow.relocated": {
        "moved_on": date(2025, 6, 1),
        "destination": "广东省深圳市",
        "host": "shenzhen",
    },
    "outflow.returned": {"returned_on": date(2025, 9, 1), "conduct": "表现良好"},
    "outflow.closed": {"how": "transferred", "closed_on": date(2025, 9, 1)},
    "outflow.voided": {"reason": "重复登记", "second_person": "li"},
    "outflow.contact_lost": {"basis": "三个月未联系上"},
    "outflow.contact_restored": {},
    "outflow.shared": {"to": "shenzhen", "purpose": "参加组织生活"},
    "inflow.reported": {"outflow": _AWAY, "via": "qr"},
    "inflow.found": {
        **_PERSON,
        "origin": ORIGIN,
        "phone": _WHERE["phone"],
        "via": "visit",
        "note": "社区走访时发现",
    },
    "inflow.accepted": {
        "outflow": _AWAY,
        "offer": 1,
        "branch": "驻外第一党支部",
        "group": "第二党小组",
        "liaison": "李干事",
        "accepted_on": date(2025, 3, 10),
    },
    "inflow.declined": {
        "outflow": _AWAY,
        "offer": 1,
        "reason_code": "not_here",
        "reason": "查无此人",
    },
    "inflow.linked": {"outflow": _AWAY, "note": "每月主题党日"},
    "inflow.details_recorded": _WHERE,
    "inflow.shared": {"to": "wuhan"},
    "inflow.ended": {
        "because": "relocated",
        "ended_on": date(2025, 6, 1),
        "destination": "广东省深圳市",
    },
    "claim.recognized": {"inflow": _HERE, "outflow": _AWAY},
    "claim.refused": {"inflow": _HERE, "reason": "不是本组织党员"},
    "transfer.requested": {
        "member": _MEMBER,
        "to": CHENGDU,
        "to_name": "成都市武侯区委",
        "by": "member",
        "levels": ("branch", "committee"),
        "reason": "已在成都定居",
    },
    "transfer.approved": {"level": "branch", "note": "同意"},
    "transfer.rejected": {"reason": "材料不全"},
    "transfer.withdrawn": {"reason": "暂不转出"},
    "transfer.sent": {
        "dispatch": 1,
        "channel": "letter",
        "letter": "2025-017",
        "until": datetime(2025, 4, 1, 1, tzinfo=UTC),
        "dues_paid_to": date(2025, 3, 1),
    },
    "transfer.expired": {"dispatch": 1},
    "transfer.letter_lost": {"dispatch": 1, "reason": "途中遗失"},
    "transfer.reissued": {
        "dispatch": 2,
        "letter": "2025-021",
        "voids": "2025-017",
        "until": datetime(2025, 5, 1, 1, tzinfo=UTC),
        "basis": "支部证明、本人申请",
    },
    "transfer.contested": {"dispatch": 1, "reason_code": "not_here", "refusal": "b" * 64},
    "transfer.admitted": {
        "dispatch": 1,
        "admitted_on": date(2025, 3, 10),
        "admission": "a" * 64,
    },
    "transfer.admission_void": {"dispatch": 1, "admission": "a" * 64, "because": "expired"},
    "transfer.completed": {
        "dispatch": 1,
        "admitted_on": date(2025, 3, 10),
        "returned_on": date(2025, 3, 20),
        "slip": "c" * 64,
        "branch": "武侯区第一党支部",
        "handler": "赵干事",
        "phone": _WHERE["phone"],
    },
    "transfer.forwarded": {
        "record": name("contact"),
        "record_version": 1,
        "record_topic": "contact.made",
        "record_state": '{"meta":{}}',
        "digest": "f" * 64,
    },
    "transfer.shared": {"to": "wuhan"},
    "admission.admitted": {
        "transfer": _MOVE,
        "dispatch": 1,
        "branch": "武侯区第一党支部",
        "admitted_on": date(2025, 3, 10),
    },
    "admission.refused": {
        "transfer": _MOVE,
        "dispatch": 1,
        "reason_code": "not_here",
        "reason": "查无此人",
    },
    "admission.slip_returned": {
        "transfer": _MOVE,
        "dispatch": 1,
        "returned_on": date(2025, 3, 20),
        "handler": "赵干事",
        "phone": _WHERE["phone"],
    },
    "admission.filed": {"transfer": _MOVE, "file": name("file"), "last": "e" * 64},
    "admission.passed_on": {"transfer": _MOVE, "to": "wuhan"},
    "admission.traced": {"transfer": _MOVE, "file": name("file"), "last": "e" * 64},
    "contact.made": {
        **_SAID,
        "outflow": _AWAY,
        "method": "电话",
        "by": "李干事",
        "reached": True,
        "next_on": date(2025, 5, 8),
    },
    "contact.visited": {
        "outflow": _AWAY,
        "festival": "七一",
        "by": "李干事",
        "help_given": "慰问金五百元",
        "condition": _SAID["condition"],
    },
    "contact.corrected": {**_SAID, "reached": False, "reason": "实际未接通"},
    "contact.withdrawn": {"reason": "重复登记"},
    "contact.shared": {"to": "wuhan"},
    "activity.held": {"kind": "theme_day", "title": "主题党日", "place": "活动室"},
    "activity.cancelled": {"reason": "误录"},
    "activity.shared": {},
    "attendance.marked": {"activity": _DAY, "outflow": _AWAY, "mark": "present"},
    "attendance.shared": {"to": "wuhan"},
    "attendance.corrected": {
        "activity": _DAY,
        "outflow": _AWAY,
        "mark": "sick",
        "reason": "补交请假条",
    },
    "agreement.certified": {
        "peer": CHENGDU,
        "at": datetime(2026, 1, 5, 1, tzinfo=UTC),
        "certificate": '{"parties":["jiuquan","chengdu"]}',
        "signatures": (
            Signature(org=ORIGIN, signature="QUFBQQ=="),
            Signature(org=CHENGDU, signature="QkJCQg=="),
        ),
        "salt": "5" * 64,
        "position": 128,
    },
    "erasure.requested": {
        "streams": (_MEMBER, _AWAY),
        "classes": (DataClass.IDENTITY, DataClass.CONTACT),
        "ground": "consent_withdrawn",
        "by": "person",
        "document": "申请〔2026〕3号",
        "extends": name("erasure"),
    },
    "erasure.granted": {"asked": (CHENGDU,)},
    "erasure.restricted": {
        "reason": "争议尚未办结",
        "basis": "个人信息保护法第四十七条第二款",
        "until": date(2028, 1, 1),
        "purposes": ("争议处理", "审计"),
    },
    "erasure.refused": {"reason": "申请人身份未能核实"},
    "erasure.lifted": {"reason": "争议已办结"},
    "erasure.consulted": {"member": _MEMBER, "purpose": "审计", "field": "phone"},
    "erasure.completed": {"kept_by": (CHENGDU,)},
    "destruction.done": {
        "erasure": name("erasure"),
        "requester": ORIGIN,
        "keys": (name("key-1"), name("key-2")),
        "passed_to": ("wuhan",),
        "signature": "A" * 86 + "==",
    },
    "destruction.extended": {
        "org": "wuhan",
        "erasure": name("extension"),
        "requester": CHENGDU,
        "kept": False,
        "keys": (name("key-1"),),
        "passed_to": ("xian",),
        "signature": "A" * 86 + "==",
    },
    "destruction.kept": {
        "erasure": name("erasure"),
        "reason": "案件审理中",
        "basis": "民事诉讼法",
        "until": date(2028, 1, 1),
    },
    "pact.concluded": {"peer": CHENGDU, "terms": _TERMS},
    "pact.changed": {
        "terms": _TERMS.model_copy(update={"until": date(2028, 12, 31)}),
        "reason": "续期",
    },
    "pact.ended": {"reason": "联络站撤销"},
    "pact.resumed": {"keys": 12},
}


class FixedKeyring:
    """Keys that follow from what they are for: the same on every machine, and no secret."""

    def __init__(self, salt: str = "golden") -> None:
        self._salt = salt
        self._minted: dict[UUID, DataKey] = {}

    def ours(self, subject: UUID, data_class: DataClass) -> DataKey:
        said = f"{self._salt}:{subject}:{data_class}"
        secret = hashlib.sha256(said.encode()).digest()
        key = DataKey(name(said), subject, data_class, secret)
        return self._minted.setdefault(key.id, key)

    def key(self, key_id: UUID) -> DataKey | None:
        return self._minted.get(key_id)

    def preload(self, key_ids: Iterable[UUID]) -> dict[UUID, DataKey]:
        return {key: self._minted[key] for key in key_ids if key in self._minted}

    def closed(self, subject: UUID, data_class: DataClass) -> None:
        """Nothing is."""

    def blind(self, kind: str, value: str) -> UUID:
        return name(f"{kind}:{value}")

    mark_key = "golden"

    def mark(self, kind: str, value: str) -> bytes:
        return name(f"mark:{kind}:{value}").bytes


def example(topic: str, fields: dict[str, Any] | None = None) -> Fact:
    """The fact that stands for a topic, with every field it has."""
    meta = Meta(
        recorded_at=datetime(2026, 1, 5, 1, 0, tzinfo=UTC),
        occurred=Occurred(
            on=date(2025, 5, 1),
            precision=Precision.MINUTE,
            at=datetime(2025, 5, 1, 2, 30, tzinfo=UTC),
        ),
        author=Author(
            org=ORIGIN, person="wang", role="officer", on_behalf_of="zhang", channel="import"
        ),
        keeper=ORIGIN,
        subject=_MEMBER,
        audience=(CHENGDU,),
        source=Source(
            kind="import", file="台账.xlsx", digest="f" * 64, sheet="Sheet1", row=3, reference="1号"
        ),
        causation=FactId(stream=name("cause"), version=2),
        correlation=name("correlation"),
        policy=1,
        corrects=FactId(stream=name(topic), version=1),
    )
    said = EXAMPLES[topic] if fields is None else fields
    return FACTS[topic](originator_id=name(topic), originator_version=7, meta=meta, **said)


def encode_fixed(fact: Fact) -> Encoded:
    """Encode with fixed keys and nonces."""
    drawn = iter(range(1_000))
    with patch("domain.sealing.draw", lambda size: next(drawn).to_bytes(size)):
        return encode(fact, FixedKeyring())


def golden(topic: str) -> dict[str, Any]:
    """What the file of a topic holds."""
    record = encode_fixed(example(topic)).record
    return {
        "topic": topic,
        "stream": str(record.originator_id),
        "version": record.originator_version,
        "digest": digest(record),
        "state": record.state.decode(),
    }


def write_missing() -> list[str]:
    """Add the files of topics that have none, of every suite."""
    written = []
    for each in suite.SUITES.values():
        suite.choose(each.name)
        folder().mkdir(exist_ok=True)
        for topic in FACTS:
            file = folder() / f"{topic}.json"
            if not file.exists():
                file.write_text(json.dumps(golden(topic), ensure_ascii=False, indent=2) + "\n")
                written.append(f"{each.name} {topic}")
    return written


if __name__ == "__main__":
    print(*write_missing(), sep="\n")  # noqa: T201 - it is a command.
