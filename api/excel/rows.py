"""台账行: one row of each workbook, clean, as the rest of the system knows it."""

from __future__ import annotations

from datetime import date
from typing import Literal

from domain.attendance import Mark
from domain.member import Category
from domain.values import IdNumber, Name, Notes, Phone, Text, Value


class OutflowRow(Value):
    """流出党员台账: a member, and the absence that was entered for the member."""

    name: Name
    sex: Literal["男", "女"]
    ethnic: Text | None = None
    born_on: date
    number: IdNumber
    education: Text | None = None
    category: Category
    joined_on: date
    full_on: date | None = None
    branch: Text
    branch_contact: Text | None = None
    branch_phone: Phone | None = None
    former_occupation: Text | None = None
    left_on: date
    reason: Text | None = None
    scope: Text | None = None
    destination: Text | None = None
    station: Text | None = None
    phone: Phone | None = None
    address: Text | None = None
    permit_held: bool | None = None
    permit_number: Text | None = None
    contact_state: Text | None = None
    remark: Text | None = None


class ContactRow(Value):
    """联系记录: one attempt to reach one member."""

    on: date
    station: Text
    name: Name
    number: IdNumber
    method: Text
    by: Text
    reached: bool
    condition: Notes | None = None
    matters: Notes | None = None
    next_on: date | None = None


class AttendanceRow(Value):
    """主题党日签到表: one member's mark on one day at one station."""

    station: Text
    on: date
    name: Name
    number: IdNumber
    mark: Mark
