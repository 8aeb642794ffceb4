"""命令行·纸面: a letter printed, a scanned code looked at, and what is recorded by it."""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from api.cli_access import Person
from api.cli_lanes import URL, Url
from api.client import Client
from domain.errors import Invalid, Refusal
from sync.paper import SCANNED_MAX

Text = Annotated[str, typer.Argument(help="扫描得到的文字；- 从标准输入读 - for standard input")]

Card = Annotated[
    Path | None,
    typer.Option(help="开出组织的名片 the issuer's card", exists=True, dir_okay=False),
]
Number = Annotated[str | None, typer.Option(help="接收：身份证号码 to admit: from the id card")]
Branch = Annotated[str | None, typer.Option(help="编入党支部 into which branch")]
AdmittedOn = Annotated[str | None, typer.Option(help="接收日期 admitted on")]
ReturnedOn = Annotated[str | None, typer.Option(help="回执日期 the slip's date")]
File = Annotated[str | None, typer.Option(help="建档：按信面填写，JSON to register: the file")]
Handler = Annotated[str | None, typer.Option(help="登记回执：经办人 to record a slip: its handler")]
Phone = Annotated[str | None, typer.Option(help="回执上的电话 the slip's telephone")]

out = Console()


class LetterNotWritten(Refusal):
    """介绍信没有存成文件。The letter was not written to the file."""

    mend = "请另选文件名；已有的文件不覆盖。Choose another name: no file is overwritten."


class NotText(Invalid):
    """标准输入不是文字。What came on standard input is no text."""

    mend = "请把扫描枪设为键盘方式，输出 UTF-8。Set the scanner to act as a keyboard, in UTF-8."


def letter(
    transfer: Annotated[str, typer.Argument(help="转接编号 the transfer's id")],
    file: Annotated[Path | None, typer.Option("--out", help="存为文件 a page to print")] = None,
    url: Url = URL,
    person: Person = "officer",
) -> None:
    """打印介绍信: stub, letter and slip as one page for a browser's printer."""
    with closing(Client(url, person)) as node:
        page = node.letter(transfer)
    if file is None:
        sys.stdout.write(page)
        return
    try:
        # A person's data: for whoever prints it alone.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as fault:
        raise LetterNotWritten(file=str(file), because=fault.strerror) from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as page_file:
        page_file.write(page)


def scan(  # noqa: PLR0913, PLR0917 - what stands on a slip, and on an id card.
    text: Text,
    card: Card = None,
    number: Number = None,
    branch: Branch = None,
    admitted_on: AdmittedOn = None,
    returned_on: ReturnedOn = None,
    member: File = None,
    handler: Handler = None,
    phone: Phone = None,
    url: Url = URL,
    person: Person = "officer",
) -> None:
    """扫描: what a code says; --number admits, --member opens a file, --handler records a slip."""
    if text == "-":
        try:
            text = sys.stdin.read(SCANNED_MAX + 1)
        except UnicodeDecodeError as fault:
            raise NotText(byte=fault.start) from None
    admitted = {"branch": branch, "admitted_on": admitted_on}
    if handler is not None:
        stated = {**admitted, "returned_on": returned_on, "handler": handler, "phone": phone}
        path = "/paper/slip"
    elif member is not None:
        path, stated = "/paper/registered", {"card": _read(card), "member": _parsed(member)}
    elif number is not None:
        path, stated = "/paper/admitted", {"number": number, **admitted}
    else:
        path, stated = "/paper", {"card": _read(card)}
    said = {name: value for name, value in stated.items() if value is not None}
    with closing(Client(url, person)) as node:
        answer = node.post(path, {"text": text, **said})
    out.print_json(json.dumps(answer, ensure_ascii=False, default=str))


def _parsed(member: str) -> Any:
    try:
        return json.loads(member)
    except ValueError as fault:
        raise typer.BadParameter(f"JSON: {fault}") from None


def _read(card: Path | None) -> str | None:
    return card.read_bytes().decode("utf-8", "replace") if card else None
