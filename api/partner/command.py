"""检查命令: `waystation check-peer`, for a node that is there or a report of one."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from api.files import must_be_writable_file, write
from domain.errors import Invalid

if TYPE_CHECKING:
    from api.client import Client
    from api.partner.report import Opened

out = Console()


class NothingToCheck(Invalid):
    """没有说明检查什么。There is nothing to check."""

    mend = "请给出节点地址，或 --verify 报告文件。Give a node's address, or --verify and a report."


def check_peer(  # noqa: PLR0913 - one visit.
    url: Annotated[str, typer.Argument(help="被检查节点的地址 the node's address")] = "",
    *,
    listen: Annotated[
        str, typer.Option(help="HOST:PORT，探针在此应答 where the node reaches the probe")
    ] = "127.0.0.1:0",
    address: Annotated[
        str | None, typer.Option(help="名片上的地址，如经代理 on the card, if not --listen")
    ] = None,
    enrol: Annotated[
        bool, typer.Option(help="代为登记（仅限本机节点）enrol it, a node here only")
    ] = False,
    card: Annotated[Path, typer.Option(help="探针名片写到 the probe's card")] = Path("probe.card"),
    report: Annotated[Path, typer.Option(help="报告写到 the report")] = Path("peer.report"),
    verify: Annotated[
        Path | None,
        typer.Option(help="核对报告，不联网 check a report", exists=True, dir_okay=False),
    ] = None,
) -> None:
    """检查对方节点: a probe tries what a peer must refuse, accept, survive; signs a report."""
    # Imported where they are used: other commands need none of it.
    from api.partner.report import Opened  # noqa: PLC0415

    if verify is not None:
        raise typer.Exit(_shown(Opened(verify.read_bytes())))
    if not url:
        raise NothingToCheck
    must_be_writable_file(card, "--card")
    must_be_writable_file(report, "--report")
    write(report, "--report", _visited(url, listen, address, card, enrol=enrol))
    code = _shown(Opened(report.read_bytes()))
    _say(f"报告 report: {report}")
    raise typer.Exit(code)


def _visited(url: str, listen: str, address: str | None, card: Path, *, enrol: bool) -> bytes:
    from api.client import Client  # noqa: PLC0415
    from api.partner.run import check_node  # noqa: PLC0415

    with closing(Client(url)) as client:
        people = client if enrol else None
        introduce = partial(_introduce, card, people)
        return check_node(url, introduce, at=listen, address=address)


def _shown(opened: Opened) -> int:
    """Print a report that holds; 0 if every check has passed."""
    from api.partner.report import SHOWN  # noqa: PLC0415 - as above.

    report = opened.report
    out.print(opened.table())
    counts = "，".join(f"{SHOWN[verdict]} {number}" for verdict, number in report.counts.items())
    out.print(counts, highlight=False)
    _say(f"对方 node: {opened.node.sender}，核对码 fingerprint {opened.node.fingerprint}")
    _say(f"探针 probe: {report.sender}，核对码 fingerprint {opened.probe.fingerprint}")
    _say(
        f"留在对方 left there: 登记的组织 the peer {report.sender}，{report.entries} 条 entries，"
        "隔离区中的证据 evidence in its quarantine"
    )
    return 0 if report.passed else 1


def _say(sentence: str) -> None:
    out.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _introduce(file: Path, people: Client | None, card: bytes) -> None:
    from sync.card import read_card  # noqa: PLC0415

    write(file, "--card", card)
    fingerprint = read_card(card).fingerprint
    _say(f"探针名片 the probe's card: {file}，核对码 fingerprint {fingerprint}")
    if people is None:
        _say(f"等候登记 waiting to be enrolled there: waystation enrol {file} {fingerprint}")
    else:
        body = {"card": card.decode(), "fingerprint": fingerprint, "grants": []}
        people.post("/peers", body)
