"""命令行·恢复: what a restored backup lacks, and how its node goes on."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Any

import typer

from api.client import Client, place

fence = typer.Typer(help="恢复旧备份之后 after an old backup was restored", no_args_is_help=True)

Url = Annotated[str, typer.Option(envvar="WAYSTATION_URL", help="节点地址 the node's address")]
URL = "http://127.0.0.1:8700"

BY_FILES = (
    "以文件往来：请导出数据包交对方导入，再导入其导出的 by files: export a bundle for them to"
    " import, then import the one they export"
)


@fence.command()
def status(url: Url = URL) -> None:
    """恢复情况: what is missing, from whom, and what happens next."""
    with closing(Client(url)) as node:
        for line in lines(node.get("/fence")):
            typer.echo(line)


@fence.command()
def renew(
    reason: Annotated[str, typer.Option(help="原因 why the ledger cannot be made whole again")],
    without: Annotated[
        list[str] | None, typer.Option(help="不再等待的对方 a peer that cannot be waited for")
    ] = None,
    url: Url = URL,
    person: Annotated[str, typer.Option(help="经办人 who decides")] = "officer",
) -> None:
    """启用新纪元: fetch back what peers hold, then give up the rest by a signed statement."""
    with closing(Client(url, person)) as node:
        body = {"reason": reason, "without": without or []}
        for line in lines(node.post("/fence/renewal", body)):
            typer.echo(line)


@fence.command()
def take(
    peer: Annotated[str, typer.Argument(help="对方的组织代码 their code")],
    url: Url = URL,
    person: Annotated[str, typer.Option(help="经办人 who decides")] = "officer",
) -> None:
    """取回: what a peer says it holds of this organization; its lane waited for this word."""
    with closing(Client(url, person)) as node:
        for line in lines(node.post(f"/fence{place('lanes', peer)}", {})):
            typer.echo(line)


def lines(report: dict[str, Any]) -> list[str]:
    """As people read it."""
    said = [report["says"]]
    if report["since"]:
        since, by = report["since"], report["shown_by"]
        said.append(f"自 since {since} · 由 shown by {by} · 纪元 epoch {report['epoch']}")
        said.append(f"缺失 lost {report['lost']} · 可取回 found with peers {report['found']}")
    said += [_peer(each) for each in report["peers"]]
    if report["fault"]:
        said.append(f"问题 fault: {report['fault']}")
    said += [
        f"已归还 given back to {each['org']}: {each['after'] + 1} … {each['number']} · {each['at']}"
        for each in report["asked_back"]
    ]
    for each in filter(None, (report["ours"], *report["theirs"])):
        said.append(_renewal(each))
    return said


def _peer(row: dict[str, Any]) -> str:
    if not row["reached"]:
        why = row["fault"] or (BY_FILES if row["by_files"] else "未应答 no answer")
        return f"  {row['peer']}: {why}"
    held = " · 通道暂停 lane held" if row["held"] else ""
    return (
        f"  {row['peer']}: 对方所持 there {row['number_there']}，本节点 here {row['number_here']}，"
        f"缺 missing {row['missing']}{held}"
    )


def _renewal(row: dict[str, Any]) -> str:
    lacking = f" · 由本节点归还 given back {row['lacking']}" if row.get("lacking") else ""
    return (
        f"新纪元 epoch {row['epoch']} · {row['org']} · {row['stated_at']} · {row['by']}: "
        f"{row['reason']} · 放弃 gives up {row['gave_up']} · 共有 shared {row['shared']}{lacking}"
    )
