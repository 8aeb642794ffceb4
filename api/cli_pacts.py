"""命令行·同步约定: what a peer may open, for what and until when."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from api.cli_access import Person
from api.cli_lanes import URL, Peer, Url
from api.client import Client, place
from domain.aggregate import CIVIL_ZONE
from domain.purposes import purposes_of
from domain.values import DataClass

app = typer.Typer(help="同步约定 what a peer may open of ours, for what, and until when.")

Grants = Annotated[list[str], typer.Option("--grant", help="可见类别 a class they may open")]
Purposes = Annotated[
    list[str] | None,
    typer.Option("--purpose", help="用途 identify | care | transfer | help，默认按类别"),
]
Until = Annotated[str, typer.Option(help="止期（含当日） the last day, which counts")]
From = Annotated[str | None, typer.Option("--from", help="起期 the first day; by default today")]
Basis = Annotated[str, typer.Option(help="依据 joint | entrusted | provided")]
Document = Annotated[str | None, typer.Option(help="约定文号 its document")]
Signed = Annotated[str | None, typer.Option("--signed-by", help="双方签订人 who concluded it")]

out = Console()


@app.command(name="list")
def list_pacts(url: Url = URL) -> None:
    """约定看板: both directions of every peer, how they stand, how many keys wait."""
    with closing(Client(url)) as node:
        table = Table("对方", "方向", "状态", "类别", "用途", "至", "待送密钥")
        for row in node.get("/pacts"):
            table.add_row(*_cells(row["peer"], "我方可见范围 ours", row["ours"]))
            table.add_row(*_cells(row["peer"], "对方所予 theirs", row["theirs"]))
        out.print(table)


@app.command()
def conclude(  # noqa: PLR0913, PLR0917 - what a pact says.
    peer: Peer,
    grant: Grants,
    until: Until,
    purpose: Purposes = None,
    first: From = None,
    basis: Basis = "joint",
    document: Document = None,
    signed_by: Signed = None,
    url: Url = URL,
    person: Person = "officer",
) -> None:
    """订立: from its first day to its last, keys of these classes pass."""
    terms = _terms(grant, purpose, first, until) | _paper(basis, document, signed_by)
    _show(_post(url, person, place("pacts", peer), {"terms": terms}))


@app.command()
def change(  # noqa: PLR0913, PLR0917 - what a pact says.
    peer: Peer,
    grant: Grants,
    until: Until,
    purpose: Purposes = None,
    first: From = None,
    basis: Basis = "joint",
    document: Document = None,
    signed_by: Signed = None,
    reason: Annotated[str | None, typer.Option(help="原因 why")] = None,
    url: Url = URL,
    person: Person = "officer",
) -> None:
    """变更、续期: the whole of it, in its new version."""
    terms = _terms(grant, purpose, first, until) | _paper(basis, document, signed_by)
    body = {"terms": terms, "reason": reason}
    _show(_post(url, person, place("pacts", peer, "change"), body))


@app.command()
def end(
    peer: Peer,
    reason: Annotated[str, typer.Argument(help="理由 why")],
    url: Url = URL,
    person: Person = "officer",
) -> None:
    """提前终止: at once; what was opened stays known, what follows stays closed."""
    _show(_post(url, person, place("pacts", peer, "end"), {"reason": reason}))


def _terms(
    classes: list[str], purposes: list[str] | None, first: str | None, until: str
) -> dict[str, Any]:
    """For what the classes are processed, from today on, unless it was said otherwise."""
    known = [each for each in DataClass if each in classes]
    today = datetime.now(CIVIL_ZONE).date().isoformat()
    return {
        "purposes": purposes or purposes_of(known),
        "classes": classes,
        "effective_from": first or today,
        "until": until,
    }


def _paper(basis: str, document: str | None, signed_by: str | None) -> dict[str, Any]:
    return {"basis": basis, "document": document, "signed_by": signed_by}


def _cells(peer: str, way: str, pact: dict[str, Any]) -> tuple[str, ...]:
    terms, waiting = pact.get("agreed") or {}, pact.get("withheld") or {}
    held = "，".join(f"{kind} {count}" for kind, count in waiting.items())
    return (
        peer,
        way,
        pact["state"],
        " ".join(terms.get("classes", ())) or "—",
        " ".join(terms.get("purposes", ())) or "—",
        str(pact.get("in_force_until") or terms.get("until") or "—"),
        held or "—",
    )


def _post(url: str, person: str, path: str, body: Any) -> Any:
    with closing(Client(url, person)) as node:
        return node.post(path, body)


def _show(answer: Any) -> None:
    out.print_json(json.dumps(answer, ensure_ascii=False, default=str))
