"""命令行·证据: what the ledger holds as a signed file that proves itself, or as a page to print."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from api.cli_access import Moment, Person, Purpose
from api.cli_lanes import URL, Url
from api.cli_verify import new_file, written
from api.client import Client

app = typer.Typer(help="审计证据: a range of the ledger as a file that proves itself, or on paper.")


Said = str | None
Subject = Annotated[Said, typer.Option(help="当事人 whom it is about")]
Actor = Annotated[Said, typer.Option(help="经办人 who recorded it")]
Org = Annotated[Said, typer.Option(help="记录组织 whose fact it is")]
Topic = Annotated[Said, typer.Option(help="类型或其开头，如 contact.")]
Source = Annotated[Said, typer.Option(help="来源文件摘要 the file's digest")]
Correlation = Annotated[Said, typer.Option(help="同一批次 one chain")]
Causation = Annotated[Said, typer.Option(help="起因 STREAM/VERSION")]
FromDay = Annotated[Said, typer.Option(help="发生日期自 happened from")]
ToDay = Annotated[Said, typer.Option(help="发生日期至 happened up to")]
Cursor = Annotated[int | None, typer.Option(help="自此序号之后 after this position")]
Upto = Annotated[int | None, typer.Option(help="至此序号 up to this position")]
Size = Annotated[int | None, typer.Option(help="以该检查点为准 under this checkpoint")]
Open = Annotated[
    list[str] | None, typer.Option("--open", help="附此类信息的密钥 keys of this class")
]
Report = Annotated[Path | None, typer.Option(help="另存可打印的报告 and a report")]


@app.command()
def export(  # noqa: PLR0913, PLR0917 - every mark of a fact, and the range.
    out: Annotated[Path, typer.Argument(help="写入的文件 the file to write")],
    subject: Subject = None,
    actor: Actor = None,
    org: Org = None,
    topic: Topic = None,
    source: Source = None,
    correlation: Correlation = None,
    causation: Causation = None,
    from_day: FromDay = None,
    to_day: ToDay = None,
    cursor: Cursor = None,
    upto: Upto = None,
    entered_from: Moment = None,
    entered_to: Moment = None,
    size: Size = None,
    opened: Open = None,
    report: Report = None,
    url: Url = URL,
    person: Person = "officer",
    purpose: Purpose = "audit",
) -> None:
    """出具证据: every fact that bears these marks, with the proof that none was left out."""
    said = locals()
    asked = {name: said[name] for name in said if name not in _NOT_ASKED} | {"person": actor}
    with closing(Client(url, person, purpose)) as node:
        wire = node.evidence(**asked)
        page = node.report(wire) if report is not None else b""
    with new_file(out) as file:
        file.write(wire)
    written(out, len(wire))
    if report is not None:
        _print(report, page)


_NOT_ASKED = {"out", "actor", "report", "url", "person", "purpose"}


@app.command(name="print")
def print_(
    file: Annotated[Path, typer.Argument(help="证据文件", exists=True, dir_okay=False)],
    out: Annotated[Path, typer.Argument(help="写入的网页 the page to write")],
    url: Url = URL,
    person: Person = "officer",
    purpose: Purpose = "audit",
) -> None:
    """打印证据: an evidence file of this node as a report, to be printed by a browser."""
    with closing(Client(url, person, purpose)) as node:
        page = node.report(file.read_bytes())
    _print(out, page)


def _print(out: Path, page: bytes) -> None:
    with new_file(out) as file:
        file.write(page)
    typer.echo(f"已写入 written：{out}。请用浏览器打印 print it with a browser。")
