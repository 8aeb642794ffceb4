"""命令行·数据包: waystation bundle, for organizations that exchange files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from api.client import Client
from domain.errors import Invalid, Refusal, Stated
from sync.bundle_file import BUNDLE_BYTES, HEADER_MAX, read_header
from sync.errors import LaneFault

app = typer.Typer(help="数据包: 没有网络通路时，以文件同步 lanes as files.", no_args_is_help=True)

Url = Annotated[str, typer.Option(envvar="WAYSTATION_URL", help="节点地址 the node's address")]
URL = "http://127.0.0.1:8700"


class NotAFile(Invalid):
    """不能读取这个文件。This file cannot be read."""

    mend = "请逐个指明 .bundle 文件。Name the .bundle files one by one."


class NotAFolder(Invalid):
    """不能写入这个文件夹。This folder cannot be written to."""

    mend = (
        "请先建立文件夹，并确认可以写入。Make the folder first, and see that it can be written to."
    )


class NotWritten(Refusal):
    """文件没有写成，已删除。The file could not be written, and was removed."""

    mend = (
        "请腾出空间或另选文件夹，再以 --again 导出。"
        "Make room or choose another folder, and export --again."
    )


class FileThere(Refusal):
    """同名文件已存在，不覆盖。A file of that name is there, and is not overwritten."""

    mend = "请另选文件夹，再以 --again 导出。Choose another folder, and export --again."


@app.command()
def export(
    to: Annotated[str, typer.Option(help="对方的组织代码 the peer's code")],
    out: Annotated[Path, typer.Option(help="写入的文件夹 the folder to write to")] = Path(),
    url: Url = URL,
    *,
    again: Annotated[bool, typer.Option(help="没有新内容也再导出 though nothing is new")] = False,
) -> None:
    """导出数据包: all that the peer has not confirmed, with our receipt, as files for it alone."""
    if not out.is_dir() or not os.access(out, os.W_OK):
        raise NotAFolder(folder=str(out))
    with closing(Client(url)) as node:
        made, wire = node.export_bundle(to, again=again)
        if wire is None:
            last = made["exported"]
            _say(
                f"没有新内容：第 {last} 号之后没有新的记录和回单；文件丢失的，加 --again 再导出。"
                f"Nothing is new since bundle {last}; if that was lost, add --again."
            )
            return
        while wire is not None:
            _write(out / made["name"], wire, made)
            made, wire = node.export_bundle(to, go_on=True) if made["more"] else (made, None)
    _say(f"请交给 {to} 导入。Hand it to {to}: waystation bundle import FILE.")
    if made["asks"]:
        _say(
            "本节点恢复过旧备份：文件只索还本组织曾发出的记录；请对方导入后导出，再导入其文件。"
            "An old backup was restored here: it only asks for what was once sent. Let them import"
            " it and export theirs, and import that."
        )


def _write(path: Path, wire: bytes, made: dict[str, Any]) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise FileThere(file=str(path)) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(wire)
            file.flush()
            os.fsync(file.fileno())
    except OSError as fault:
        path.unlink()
        raise NotWritten(file=str(path), because=fault.strerror) from None
    _say(str(path))
    _say(f"  SHA-256 {hashlib.sha256(wire).hexdigest()}")
    if made["gives"]:
        _say(f"  归还对方的记录 {made['gives']} 页 gives back {made['gives']} pages of theirs")
    _say(
        f"  第 {made['number']} 号 bundle {made['number']}；{_span(made)}；"
        f"回单至对方第 {made['told']} 条 our receipt up to {made['told']}"
    )


def _span(made: dict[str, Any]) -> str:
    if not made["facts"]:
        return "没有新记录 no facts"
    span = f"{made['first']}–{made['last']}"
    return f"通道编号 {span}，{made['facts']} 条 lane numbers {span}, {made['facts']} facts"


@app.command(name="import")
def import_(
    files: Annotated[list[Path], typer.Argument(help="数据包文件，可多个 bundles, in any order")],
    url: Url = URL,
) -> None:
    """导入数据包: what each brought; exit 1 if one was refused, or lacks what comes before it."""
    good, answers = True, set()
    with closing(Client(url)) as node:
        for path in sorted(files, key=_place):
            try:
                report = node.import_bundle(_read(path))
            except Stated as refusal:
                _say(f"{path}: {refusal}")
                good = False
                continue
            for line in told(report):
                _say(f"{path}: {line}")
            good = good and not report["refused"] and report["missing"] is None
            if report["answer"]:
                answers.add(report["sender"])
    for sender in sorted(answers):
        _say(
            f"请导出回单交给 {sender} now let them have the receipt:"
            f" waystation bundle export --to {sender}"
        )
    raise typer.Exit(0 if good else 1)


def _place(path: Path) -> tuple[str, int]:
    """Files of one sender are taken in as they are numbered, however they were named."""
    try:
        with path.open("rb") as file:
            header = read_header(file.read(HEADER_MAX))
    except (OSError, LaneFault):
        return "", 0  # What is wrong is told when its turn comes.
    return header.sender, header.number


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            wire = file.read(BUNDLE_BYTES + 1)
    except OSError as fault:
        raise NotAFile(because=fault.strerror) from None
    read_header(wire)  # What is no bundle need not be sent.
    return wire


def told(report: dict[str, Any]) -> Iterator[str]:
    """A report, as people read it."""
    if report["number"] is not None:
        number = report["number"]
        yield f"{report['sender']} → {report['receiver']} 第 {number} 号 bundle {number}"
        yield f"SHA-256 {report['sha256']}"
    if report["facts"] is not None:
        yield (
            f"新登记 {report['recorded']} 条 new，已有 {report['known']} 条 known，"
            f"隔离 {report['parked']} 条 set aside；{_span(report)}"
        )
    yield from _notes(report)
    for fault in report["refused"]:
        facts = ", ".join(f"{name}={value}" for name, value in fault["facts"].items())
        yield f"未接受 refused：{fault['title']} {fault['mend']} [{facts}]"


def _notes(report: dict[str, Any]) -> Iterator[str]:
    if report["again"]:
        yield "这个文件导入过 this file was imported before"
    if report["twin"]:
        yield (
            "同号的另一个文件导入过，对方可能恢复过旧的备份"
            " another file of this number was imported: did they restore a backup?"
        )
    if report["asks"]:
        yield (
            "对方恢复过旧备份，索还其曾发出的记录，由下一个数据包归还"
            " they restored an old backup; the next bundle gives back what they once sent"
        )
    if report["gives"]:
        yield (
            f"对方归还了本组织的记录 {report['gives']} 页 they gave back {report['gives']} pages of"
            " ours：waystation fence status"
        )
    if report["missing"]:
        first, last = report["missing"]
        files = (
            "第 {}–{} 号数据包 bundles {}–{}".format(*report["unseen"] * 2)
            if (report["unseen"])
            else "或请对方加 --again 重新导出 or let them export --again"
        )
        yield f"此前缺第 {first}–{last} 条 facts {first}–{last} are missing before it：{files}"
    elif report["unseen"]:
        first, last = report["unseen"]
        yield f"第 {first}–{last} 号未见，内容不缺 bundles {first}–{last} unseen, nothing missing"
    if report["confirmed"] is not None:
        number = report["confirmed"]
        yield f"对方已收到本组织至第 {number} 条 they have ours up to number {number}"
    if report["they_refused"]:
        yield f"对方未接受 they refused：{report['they_refused']}"


def _say(sentence: str) -> None:
    # A sentence is one line, whoever reads it.
    typer.echo(sentence)
