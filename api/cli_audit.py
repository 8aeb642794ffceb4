"""命令行·审计: the auditor's questions, each in one command."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console

from api.audit.explain import Name
from api.cli_access import Person, Purpose
from api.cli_lanes import URL, Url
from api.client import Client

app = typer.Typer(help="审计: who was responsible, what was known, where from, what changed, why.")

_asking: dict[str, Any] = {}
"""Who asks and what for, said once for every question."""


@app.callback()
def asking(person: Person = "officer", purpose: Purpose = "audit") -> None:
    """审计: who was responsible, what was known, where from, what changed, why."""
    _asking.update(person=person, purpose=purpose)


Day = Annotated[str, typer.Argument(help="日期 a day, 2025-06-01")]
Member = Annotated[str, typer.Argument(help="党员编号 the member's id")]
Outflow = Annotated[str, typer.Argument(help="流动编号 the absence's id")]
At = Annotated[str | None, typer.Option(help="当时 a moment, 2025-07-01T09:00:00+08:00")]
To = Annotated[str | None, typer.Option(help="对方组织代码：以其已知悉者为准 as far as it knew")]
From = Annotated[str, typer.Option("--from", help="起始时刻 the first moment")]
Until = Annotated[str, typer.Option("--to", help="终止时刻 the second moment")]
Org = Annotated[str | None, typer.Option(help="组织代码 an organization's code")]
Cursor = Annotated[str | None, typer.Option(help="上一页的 next of the page before")]
Rows = Annotated[int, typer.Option(help="最多几行 rows at most")]


@app.command()
def who(member: Member, on: Day, known_at: At = None, known_to: To = None, url: Url = URL) -> None:
    """谁负责、谁可见: who held affiliation and care of a member on a day, and who saw what."""
    path = f"/members/{quote(member)}/responsible"
    _show(url, path, on=on, known_at=known_at, known_to=known_to)


@app.command()
def known(
    outflow: Outflow, on: Day, known_at: At = None, known_to: To = None, url: Url = URL
) -> None:
    """当时所知: what was known of an absence on a day, at a moment."""
    path = f"/outflows/{quote(outflow)}/known"
    _show(url, path, on=on, known_at=known_at, known_to=known_to)


@app.command()
def changes(  # noqa: PLR0913, PLR0917 - what is compared.
    outflow: Outflow, on: Day, from_: From, to: Until, known_to: To = None, url: Url = URL
) -> None:
    """所知之变: what was known of a day at two moments, and the facts that changed it."""
    path = f"/outflows/{quote(outflow)}/known/changes"
    _show(url, path, on=on, known_to=known_to, **{"from": from_, "to": to})


@app.command()
def trail(
    member: Member,
    field: Annotated[str, typer.Argument(help="项目，如 phone")],
    known_at: At = None,
    known_to: To = None,
    url: Url = URL,
) -> None:
    """来历: every value a field of a person ever had, with file, sheet and row."""
    path = f"/members/{quote(member)}/trail/{quote(field)}"
    _show(url, path, known_at=known_at, known_to=known_to)


@app.command()
def attempts(
    member: Member,
    decision: Annotated[str | None, typer.Option(help="STREAM/VERSION，默认最近的决定")] = None,
    cursor: Cursor = None,
    limit: Rows = 100,
    url: Url = URL,
) -> None:
    """查找与证据: every attempt to reach a member, and his last signs, before a decision."""
    path = f"/members/{quote(member)}/attempts"
    _show(url, path, decision=decision, cursor=cursor, limit=limit)


@app.command()
def late(  # noqa: PLR0913, PLR0917 - what narrows it.
    origin: Org = None,
    destination: Annotated[str | None, typer.Option(help="去向，开头几字 how it begins")] = None,
    from_day: Annotated[str | None, typer.Option(help="流出日期自 left from")] = None,
    to_day: Annotated[str | None, typer.Option(help="流出日期至 left up to")] = None,
    cursor: Cursor = None,
    limit: Rows = 100,
    url: Url = URL,
) -> None:
    """超期: registered or reported in later than policy allows, and who was asked to act when."""
    asked = {"origin": origin, "destination": destination, "from_day": from_day, "to_day": to_day}
    _show(url, "/late", **asked, cursor=cursor, limit=limit)


@app.command()
def figures(
    on: Day,
    known_at: At = None,
    org: Org = None,
    url: Url = URL,
) -> None:
    """统计: the figures of every organization on a day, as they were known at a moment."""
    _show(url, "/figures", on=on, known_at=known_at, org=org)


@app.command()
def recount(  # noqa: PLR0913, PLR0917 - what is compared.
    on: Day,
    from_: From,
    to: Until,
    org: Org = None,
    cursor: Cursor = None,
    limit: Rows = 100,
    url: Url = URL,
) -> None:
    """统计之变: which figures of one day differ between two moments, because of which facts."""
    moments = {"from": from_, "to": to}
    _show(url, "/figures/changes", on=on, **moments, org=org, cursor=cursor, limit=limit)


@app.command()
def explain(  # noqa: PLR0913, PLR0917 - which value, and on which axes.
    name: Annotated[Name, typer.Argument(help="roster | custody | due | members | transfers")],
    key: Annotated[str, typer.Argument(help="该行编号 the row's id")],
    field: Annotated[str, typer.Argument(help="项目，如 host")],
    on: Annotated[str | None, typer.Option(help="日期，默认今天 a day, today by default")] = None,
    without: Annotated[str | None, typer.Option(help="STREAM/VERSION：若无此事实")] = None,
    known_at: At = None,
    known_to: To = None,
    url: Url = URL,
) -> None:
    """解释: the facts, people and rules behind a value; what it would be without one of them."""
    asked = {"on": on, "without": without, "known_at": known_at, "known_to": known_to}
    _show(url, f"/explain/{name}/{quote(key)}/{quote(field)}", **asked)


@app.command()
def history(  # noqa: PLR0913, PLR0917 - every mark of a fact.
    subject: Annotated[str | None, typer.Option(help="党员 whom it is about")] = None,
    outflow: Annotated[str | None, typer.Option(help="流动 the absence")] = None,
    person: Annotated[str | None, typer.Option(help="经办人 who recorded it")] = None,
    org: Org = None,
    topic: Annotated[str | None, typer.Option(help="类型或其开头，如 contact.")] = None,
    source: Annotated[str | None, typer.Option(help="来源文件摘要 the file's digest")] = None,
    correlation: Annotated[str | None, typer.Option(help="同一批次 one chain")] = None,
    causation: Annotated[str | None, typer.Option(help="起因 STREAM/VERSION")] = None,
    from_day: Annotated[str | None, typer.Option(help="发生日期自 happened from")] = None,
    to_day: Annotated[str | None, typer.Option(help="发生日期至 happened up to")] = None,
    known_at: At = None,
    known_to: To = None,
    upto: Annotated[int | None, typer.Option(help="至此序号 up to this position")] = None,
    size: Annotated[int | None, typer.Option(help="以该检查点为准 under this checkpoint")] = None,
    cursor: Cursor = None,
    limit: Rows = 100,
    url: Url = URL,
    *,
    proof: Annotated[bool, typer.Option(help="附完整性证明 proved to be complete")] = False,
) -> None:
    """历史: every fact that bears all the marks asked for, a page."""
    _show(url, "/history", **{name: said for name, said in locals().items() if name != "url"})


def _show(url: str, path: str, **asked: Any) -> None:
    with closing(Client(url, **_asking)) as node:
        answer = node.get(path, **asked)
    Console().print_json(json.dumps(answer, ensure_ascii=False, default=str))
