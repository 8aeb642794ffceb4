"""命令行·查阅: who has read or received whose data, for auditors and for the member."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Annotated, Any

import typer
from rich.console import Console

from api.cli_lanes import URL, Url
from api.client import Client

Person = Annotated[str, typer.Option(envvar="WAYSTATION_PERSON", help="经办人 the officer")]
Purpose = Annotated[
    str | None,
    typer.Option(envvar="WAYSTATION_PURPOSE", help="查阅用途 what for, e.g. audit, care"),
]
Member = Annotated[str, typer.Argument(help="党员编号 the member's id")]
Cursor = Annotated[int | None, typer.Option(help="从此编号往前 on to what is older than this")]
Rows = Annotated[int, typer.Option(help="最多几行 rows at most")]
Moment = Annotated[str | None, typer.Option(help="时刻 a moment, 2025-07-01T09:00:00+08:00")]

app = typer.Typer(help="查阅记录: who has read, received whose data.", no_args_is_help=True)


@app.command(name="list")
def list_reads(  # noqa: PLR0913, PLR0917 - what narrows the list.
    url: Url = URL,
    account: Annotated[str | None, typer.Option(help="只看此人 of this account")] = None,
    act: Annotated[str | None, typer.Option(help="view | export | print")] = None,
    since: Moment = None,
    until: Moment = None,
    cursor: Cursor = None,
    limit: Rows = 100,
    person: Person = "officer",
    purpose: Purpose = None,
) -> None:
    """查阅记录: all that an account viewed, exported or printed between two moments."""
    narrowed = {"account": account, "act": act, "since": since, "until": until}
    _show(_get(url, person, purpose, "/access", cursor=cursor, limit=limit, **narrowed))


@app.command(name="of")
def of_member(  # noqa: PLR0913, PLR0917 - as above.
    member: Member,
    url: Url = URL,
    cursor: Cursor = None,
    limit: Rows = 100,
    person: Person = "officer",
    purpose: Purpose = None,
) -> None:
    """谁看过: everybody who read a member's data, and every organization that received it."""
    path = f"/members/{member}/access"
    _show(_get(url, person, purpose, path, cursor=cursor, limit=limit))


@app.command()
def verify(url: Url = URL) -> None:
    """查验: whether every row is there as it was recorded; exit 1 with the first that isn't."""
    found = _get(url, "officer", None, "/access/verified")
    _show(found)
    raise typer.Exit(1 if found["broken"] else 0)


def who_saw(  # noqa: PLR0913, PLR0917 - as above.
    member: Member,
    url: Url = URL,
    cursor: Cursor = None,
    limit: Rows = 100,
    person: Person = "officer",
    purpose: Purpose = None,
) -> None:
    """谁看过我的信息: for the member himself, in sentences."""
    path = f"/members/{member}/who-saw"
    found = _get(url, person, purpose, path, cursor=cursor, limit=limit)
    for each in [*found["seen"], *found["received"]]:
        typer.echo(each["sentence"])
    if not (found["seen"] or found["received"]):
        typer.echo("没有人看过，也没有提供给其他组织。Nobody has seen it, and nobody received it.")
    if found["next"] is not None:
        typer.echo(f"更早的：--cursor {found['next']}。What is older: --cursor {found['next']}")


def _get(url: str, person: str, purpose: str | None, path: str, **query: Any) -> Any:
    with closing(Client(url, person, purpose)) as node:
        return node.get(path, **query)


def _show(answer: Any) -> None:
    Console().print_json(json.dumps(answer, ensure_ascii=False, default=str))
