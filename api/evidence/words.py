"""定义: what the columns, marks, types and fields of an evidence file mean, in Chinese."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from api.access.words import CLASSES, FIELDS, PURPOSES
from domain.catalogue import FACTS
from domain.purposes import PURPOSES as HANDLED
from domain.records import PERSONAL

COLUMNS = {
    "position": "在本台账中的序号",
    "stream": "记录链编号",
    "version": "在记录链中的序号",
    "topic": "事实类型",
    "subject": "当事人编号（化名）",
    "outflow": "所属流动的编号",
    "org": "记录组织",
    "person": "经办人",
    "on_day": "发生日期",
    "recorded_at": "登记时间（以登记组织的时钟为准）",
    "entered_at": "进入本台账的时间（以本节点的时钟为准，不在证明之内）",
    "correlation": "同一批次的编号",
    "causation": "起因事实所在的记录链",
    "causation_version": "起因事实在其记录链中的序号",
    "source_digest": "来源文件的 SHA-256 摘要",
    "state": "事实原文，一字不改；个人信息为密文",
}
"""Of a row of the history."""

OF_FACTS = {
    **FIELDS,
    "acceptance": "接收函的摘要",
    "accepted_on": "接收日期",
    "activity": "所属活动",
    "admission": "接收记录的摘要",
    "admitted_on": "接收组织关系日期",
    "announced": "是否由对方通告",
    "approval": "批准文号",
    "asked": "申请的序号",
    "at": "时间",
    "because": "原因",
    "by": "由谁",
    "certificate": "一致证明",
    "channel": "送达方式",
    "city": "所在城市",
    "claim": "认领的流入记录",
    "classes": "信息类别",
    "closed_on": "结束日期",
    "code": "组织代码",
    "contact_state": "登记时的联系状态",
    "declination": "不接收答复的摘要",
    "depth": "层级",
    "digest": "摘要",
    "dispatch": "第几次发出",
    "document": "依据文件",
    "effective_from": "生效日期",
    "ended_on": "结束日期",
    "erasure": "所属删除申请",
    "extends": "转请的原申请",
    "festival": "节日",
    "field": "查阅的项目",
    "file": "原档案编号",
    "first": "起始序号",
    "ground": "删除理由",
    "group": "编入党小组",
    "handler": "经办人",
    "host": "流入地",
    "host_office": "流入地主管部门",
    "how": "方式",
    "inflow": "所属流入记录",
    "kept_by": "依法留存的组织",
    "kept": "是否依法留存",
    "keys": "销毁的密钥",
    "kind": "种类",
    "last": "末条序号或摘要",
    "letter": "介绍信编号",
    "level": "审批层级",
    "levels": "审批层级",
    "member": "党员档案编号",
    "method": "联系方式",
    "moved_on": "转移日期",
    "next_on": "下次联系日期",
    "offer": "邀约序号",
    "org": "组织",
    "origin": "流出地",
    "outflow": "所属流动",
    "parent": "上级组织",
    "passed_to": "曾转交给",
    "peer": "对方组织",
    "permit_held": "是否持活动证",
    "place": "地点",
    "planned_on": "计划外出日期",
    "position": "台账序号",
    "purpose": "用途",
    "purposes": "许可的用途",
    "reached": "是否联系上",
    "reads": "可读取的记录种类",
    "reason": "原因",
    "reason_code": "原因代码",
    "record": "转递的原记录",
    "record_state": "转递的原记录内容",
    "record_topic": "转递的原记录类型",
    "record_version": "转递的原记录序号",
    "refusal": "不予接收答复的摘要",
    "requester": "申请删除的组织",
    "returned_on": "返回日期",
    "root": "链首摘要",
    "salt": "加盐值",
    "scope": "流动范围",
    "sealing_key": "加密公钥",
    "second_person": "复核人",
    "signature": "签名",
    "signatures": "双方签名",
    "since": "起始时间",
    "slip": "是否见回执",
    "streams": "涉及的记录链",
    "succeeded": "此前的公钥",
    "succession": "密钥更换声明",
    "terms": "制度参数",
    "title": "主题",
    "to": "告知或转往的组织",
    "to_name": "转往的组织名称",
    "transfer": "所属转接",
    "until": "有效期至",
    "verify_key": "验签公钥",
    "via": "得知途径",
    "voids": "作废的介绍信",
}
"""Of what facts say; a name means the same in every one of them."""

NAMED = {
    "organization": "组织名称",
    "station": "联络服务站名称",
    "unit": "组织名称",
}
"""By the first word of a type, what its `name` is of, where that is no person."""


TERMS = {
    "contact_interval_days": "联系间隔天数",
    "offer_validity_days": "邀约有效天数",
    "report_in_days": "报到期限天数",
    "registration_days": "外出登记期限天数",
    "document": "依据文件",
    "transfer": "转接",
    "retention": "保存期限",
}
"""Of a policy."""


def definitions(organizations: Mapping[str, str]) -> dict[str, Any]:
    """All that is needed to read an evidence file; of organizations, by code, their names."""
    return {
        "organizations": dict(organizations),
        "columns": COLUMNS,
        "terms": TERMS,
        "classes": {each.value: name for each, name in CLASSES.items()},
        "purposes": PURPOSES,
        "topics": {topic: _type(topic) for topic in FACTS},
    }


def _type(topic: str) -> dict[str, Any]:
    classes = dict(PERSONAL[topic])
    fields = {}
    for name in field_names(topic):
        said = {"name": _field(topic, name)}
        if name in classes:
            handled = HANDLED[topic][name]
            said |= {"class": classes[name].value, "purpose": handled.purpose}
            said["basis"] = handled.basis.value
        fields[name] = said
    return {"name": called(topic), "fields": fields}


def field_names(topic: str) -> list[str]:
    """What a type of fact says, besides who, when and from where."""
    known = FACTS[topic].model_fields
    return [name for name in known if name not in {"originator_id", "originator_version", "meta"}]


def called(topic: str) -> str:
    """A type's name in Chinese: how its own sentence begins."""
    return re.split(r"[.:;]", FACTS[topic].__doc__ or topic, maxsplit=1)[0].strip()


def _field(topic: str, name: str) -> str:
    of = topic.partition(".")[0]
    return NAMED[of] if name == "name" and of in NAMED else OF_FACTS[name]
