"""拒绝: why a request is refused, as one class per reason."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal

Kind = Literal["missing", "forbidden", "invalid", "conflict", "stale", "busy"]


class Stated(Exception):  # noqa: N818 - it states what is the case.
    """What is the case. The class name is its code, the docstring its sentence.

    The keyword arguments are the evidence; none of them repeats a member name of RFC 9457 (type,
    title, status, detail, instance).
    """

    mend: ClassVar[str] = ""
    """What the person can do about it."""

    def __init__(self, **facts: Any) -> None:
        super().__init__(self.sentence())
        self.facts = facts

    @classmethod
    def code(cls) -> str:
        """The class name in kebab case: AlreadyReturned → already-returned."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()

    @classmethod
    def sentence(cls) -> str:
        """The first line of the docstring: Chinese, then English."""
        return (cls.__doc__ or "").strip().splitlines()[0]

    def __str__(self) -> str:
        facts = ", ".join(f"{name}={value}" for name, value in self.facts.items())
        said = " ".join(filter(None, (self.sentence(), self.mend)))
        return said + (f" [{facts}]" if facts else "")


class Refusal(Stated):
    """请求被拒绝。The request was refused."""

    kind: ClassVar[Kind] = "conflict"
    mend: ClassVar[str] = "请核对后重试。Check the values and try again."


class Invalid(Refusal):
    """填写的内容不符合要求。A value does not meet its rule."""

    kind = "invalid"


class NothingChanged(Invalid):
    """没有需要更改的内容。Nothing would change."""

    mend = "请填写要更改的内容。Say what changes."


class BadIdNumber(Invalid):
    """公民身份号码不正确。The national id number is not valid."""

    mend = (
        "请对照身份证重新填写 18 位号码，单元格设为文本。"
        "Copy the 18 characters from the card into a text cell."
    )


class BadPhone(Invalid):
    """联系电话不正确。The telephone number is not valid."""

    mend = (
        "请填写 11 位手机号码，或带区号的固定电话。"
        "Give an 11-digit mobile number, or a landline with its area code."
    )


class BadDate(Invalid):
    """日期不正确。The date is not valid."""

    mend = "请按 2016年01月04日 或 2016-01-04 填写。Write it as 2016年01月04日 or 2016-01-04."
