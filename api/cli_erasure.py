"""命令行·删除: a request to erase a person, its answers, and the board."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from api.cli_access import Person
from api.cli_lanes import URL, Url
from api.client import Client

app = typer.Typer(help="个人信息删除 erase a person's data, restrict it, and see who has answered.")

Erasure = Annotated[str, typer.Argument(help="删除申请编号 the erasure's id")]
Reason = Annotated[str, typer.Argument(help="理由（不写个人信息） why; it names nobody")]
Basis = Annotated[str, typer.Option(help="法律依据 by which rule")]
Until = Annotated[str, typer.Option(help="留存至 until when")]

out = Console()


@app.command()
def request(  # noqa: PLR0913, PLR0917 - what a request must say.
    member: Annotated[str, typer.Argument(help="党员编号 whose file")],
    ground: Annotated[
        str,
        typer.Argument(
            help="consent_withdrawn | purpose_over | retention_over | unlawful | deceased | other"
        ),
    ],
    by: Annotated[str, typer.Option(help="person | relative | organization")] = "person",
    data_class: Annotated[list[str] | None, typer.Option(help="只删这些类别 these alone")] = None,
    document: Annotated[str | None, typer.Option(help="申请文号 its document")] = None,
    url: Url = URL,
    person: Person = "officer",
) -> None:
    """申请删除: nothing of the person opens any more at once."""
    body: dict[str, Any] = {"member": member, "ground": ground, "by": by, "document": document}
    if data_class:
        body["classes"] = data_class
    _post(url, person, "/erasures", body)


@app.command()
def grant(erasure: Erasure, url: Url = URL, person: Person = "officer") -> None:
    """同意删除: by a second person; the keys are destroyed everywhere, for good."""
    _post(url, person, f"/erasures/{erasure}/grant", {})


@app.command()
def restrict(  # noqa: PLR0913, PLR0917 - what a restriction must say.
    erasure: Erasure,
    reason: Reason,
    basis: Basis,
    until: Until,
    purpose: Annotated[list[str], typer.Option(help="允许的用途 for which purposes alone")],
    url: Url = URL,
    person: Person = "officer",
) -> None:
    """限制处理: the law requires keeping; hidden, opened for a named purpose alone."""
    body = {"reason": reason, "basis": basis, "until": until, "purposes": purpose}
    _post(url, person, f"/erasures/{erasure}/restriction", body)


@app.command()
def refuse(erasure: Erasure, reason: Reason, url: Url = URL, person: Person = "officer") -> None:
    """不予删除: with the reason."""
    _post(url, person, f"/erasures/{erasure}/refusal", {"reason": reason})


@app.command()
def lift(erasure: Erasure, reason: Reason, url: Url = URL, person: Person = "officer") -> None:
    """解除限制: what was kept hidden is used again."""
    _post(url, person, f"/erasures/{erasure}/lifting", {"reason": reason})


@app.command()
def keep(  # noqa: PLR0913, PLR0917 - what an answer must say.
    erasure: Erasure,
    reason: Reason,
    basis: Basis,
    until: Until,
    url: Url = URL,
    person: Person = "officer",
) -> None:
    """依法留存: our answer to another organization's request."""
    body = {"reason": reason, "basis": basis, "until": until}
    _post(url, person, f"/erasures/{erasure}/keeping", body)


@app.command()
def consult(  # noqa: PLR0913, PLR0917 - what a reading must say.
    erasure: Erasure,
    member: Annotated[str, typer.Argument(help="党员编号 whose file")],
    field: Annotated[str, typer.Argument(help="项目 which field")],
    purpose: Annotated[str, typer.Argument(help="用途 for which purpose")],
    url: Url = URL,
    person: Person = "officer",
) -> None:
    """查阅: a restricted field, for a named purpose; the reading is recorded first."""
    body = {"member": member, "field": field, "purpose": purpose}
    _post(url, person, f"/erasures/{erasure}/consultations", body)


@app.command()
def board(url: Url = URL) -> None:
    """看板: whom each erasure was asked of, who has answered, who is open since when."""
    with closing(Client(url)) as node:
        for erasure in node.get("/erasures"):
            out.print(_table(erasure))


@app.command()
def due(url: Url = URL) -> None:
    """到期: whose data have been kept as long as they may."""
    with closing(Client(url)) as node:
        out.print_json(json.dumps(node.get("/retention"), ensure_ascii=False, default=str))


def _table(erasure: dict[str, Any]) -> Table:
    title = f"{erasure['erasure']} · {erasure['state']} · {erasure['requested_at']}"
    table = Table("组织", "请求于", "已知悉", "答复", "答复于", "密钥", title=title)
    for holder in erasure["holders"]:
        word = holder["answer"] or f"未答复 open since {holder['open_since'] or '—'}"
        table.add_row(
            holder["org"],
            holder["asked_at"] or "—",
            "是" if holder["heard"] else "否",
            word + "".join(f"，待 {org}" for org in holder["awaited"]),
            holder["answered_at"] or "—",
            str(len(holder["keys"])),
        )
    return table


def _post(url: str, person: str, path: str, body: dict[str, Any]) -> None:
    with closing(Client(url, person)) as node:
        out.print_json(json.dumps(node.post(path, body), ensure_ascii=False, default=str))
