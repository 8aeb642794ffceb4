"""用语: the closed lists by which a read is recorded, and the words a member is told it in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from domain.values import DataClass

Act = Literal["view", "export", "print"]
ACTS: dict[Act, str] = {"view": "查看", "export": "导出", "print": "打印"}

Purpose = Literal[
    "care",
    "handover",
    "transfer",
    "correction",
    "statistics",
    "audit",
    "inspection",
    "rights",
    "operation",
]
PURPOSES: dict[Purpose, str] = {
    "care": "日常管理",
    "handover": "流动交接",
    "transfer": "组织关系转接",
    "correction": "核实更正",
    "statistics": "统计上报",
    "audit": "审计",
    "inspection": "纪检巡察",
    "rights": "本人查询",
    "operation": "运行维护",
}

CLASSES: dict[DataClass, str] = {
    DataClass.IDENTITY: "身份信息",
    DataClass.CONTACT: "联系方式",
    DataClass.FAMILY: "家庭情况",
    DataClass.NOTES: "联系谈话内容",
    DataClass.RESTRICTED: "限制知悉的内容",
}

FIELDS = {
    "name": "姓名",
    "found_name": "姓名",
    "number": "公民身份号码",
    "sex": "性别",
    "ethnic": "民族",
    "born_on": "出生日期",
    "age": "年龄",
    "education": "学历",
    "category": "党员类别",
    "branch": "所在党支部",
    "joined_on": "入党日期",
    "full_on": "转正日期",
    "former_occupation": "原职业",
    "family": "家庭情况",
    "phone": "联系电话",
    "address": "联系地址",
    "destination": "流向",
    "reason": "流动原因",
    "left_on": "外出日期",
    "permit": "活动证号",
    "liaison": "联络员",
    "last_contact": "最近联系",
    "last_reached": "最近联系",
    "contacts": "联系次数",
    "mark": "考勤",
    "dues_paid_to": "党费缴至",
    "help_given": "帮扶情况",
    "condition": "身体和工作情况",
    "matters": "反映事项",
    "note": "备注",
    "remark": "备注",
    "conduct": "现实表现",
    "basis": "依据",
    "branch_contact": "支部联系人",
    "branch_phone": "支部联系电话",
    "state": "办理状态",
}
"""What the fields of a read are called to the person; what is not here is of the proceeding."""

KINDS = {
    "member": "党员档案",
    "outflow": "外出记录",
    "inflow": "流入记录",
    "claim": "认领记录",
    "transfer": "转接记录",
    "admission": "接收记录",
    "contact": "联系记录",
    "attendance": "考勤记录",
}
"""By the first word of a stored name, what a record is called to the person."""


def named(fields: Iterable[str]) -> str:
    """Fields as a person reads them, each once."""
    known = list(dict.fromkeys(FIELDS[name] for name in fields if name in FIELDS))
    return "、".join(known) or "办理情况"
