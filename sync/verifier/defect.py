"""缺陷: what does not hold, and where; and strict reading, so that nothing has two meanings."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, ClassVar, NoReturn
from uuid import UUID

from domain import suite
from domain.errors import Kind, Refusal


class Defect(Refusal):
    """验证不通过，请勿采信。It does not hold: do not rely on it."""

    kind: ClassVar[Kind] = "invalid"
    mend = (
        "请出具方重新出具；仍不通过的，两份都留作证据。"
        "Ask for it anew; if that does not hold either, keep both: they are evidence."
    )


def bad(where: str, because: str) -> Defect:
    """What does not hold, to be raised."""
    return Defect(where=printable(where), because=printable(because))


def fail(where: str, because: str, **facts: Any) -> NoReturn:
    """Name the first bad place.

    Raises:
        Defect.
    """
    said = {name: printable(str(value)) for name, value in facts.items()}
    raise Defect(where=printable(where), because=printable(because), **said)


def printable(text: str) -> str:
    """On one line, and nothing that moves a terminal's cursor: a file is anybody's."""
    return "".join(letter if letter.isprintable() else "·" for letter in text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name stands twice")
    return made


def _no_number(written: str) -> NoReturn:
    raise ValueError(f"{written} is no number of JSON")


_STRICT = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_number)


def read_json(raw: bytes | str, where: str) -> dict[str, Any]:
    """One JSON object, without a name that stands twice.

    Raises:
        Defect.
    """
    try:
        text = raw.decode() if isinstance(raw, bytes) else raw
        made = _STRICT.decode(text)
        if "\\u" in text:
            json.dumps(made, ensure_ascii=False).encode()  # Half a letter is none.
    except (ValueError, RecursionError) as fault:
        fail(where, f"not JSON as it should be: {str(fault)[:120]}")
    if not isinstance(made, dict):
        fail(where, "not a JSON object")
    return made


def write_json(said: dict[str, Any]) -> bytes:
    """In the one spelling of these files, with its newline."""
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def get(said: dict[str, Any], name: str, kind: type, where: str) -> Any:
    """A member that must be there, and of that kind.

    Raises:
        Defect.
    """
    value = said.get(name)
    if type(value) is not kind:
        fail(where, f"{name} is missing, or not {kind.__name__}")
    return value


def unb64(coded: Any, where: str, size: int | None = None) -> bytes:
    """Standard base64 in its one spelling.

    Raises:
        Defect.
    """
    try:
        raw = base64.b64decode(coded, validate=True)
    except (binascii.Error, ValueError, TypeError):
        fail(where, "not base64")
    if base64.b64encode(raw).decode() != coded or size not in {None, len(raw)}:
        fail(where, f"not base64 of {size} bytes" if size else "not the one spelling of base64")
    return raw


def must_be_our_suite(head: dict[str, Any], where: str) -> None:
    """The file is read by the algorithms it names, which whoever reads it has chosen.

    Raises:
        Defect.
    """
    if head.get("suite") != suite.chosen().name:
        fail(where, "another suite of algorithms", suite=str(head.get("suite"))[:40])


def choose_suite(raw: bytes) -> None:
    """Choose the algorithms that a file names in its first line, for this process.

    Raises:
        Defect: it names none that is known.
    """
    named = read_json(raw.partition(b"\n")[0], "首行 first line").get("suite")
    if named not in ("international", "guomi"):
        fail("首行 first line", "no suite of algorithms that is known", suite=str(named)[:40])
    suite.choose(named)


def uuid(text: Any, where: str) -> UUID:
    """An id in its one spelling.

    Raises:
        Defect.
    """
    try:
        made = UUID(text)
    except (ValueError, TypeError, AttributeError):
        fail(where, "not a UUID")
    if str(made) != text:
        fail(where, "not the one spelling of a UUID")
    return made
