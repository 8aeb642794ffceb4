"""命令行·验证: waystation passport makes the file, waystation verify checks it, with keys alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from api.cli_access import Person, Purpose
from api.cli_bundle import FileThere, NotAFile, NotWritten
from api.client import Client
from domain.errors import Invalid
from sync.card import read_card
from sync.verifier import account, answer, evidence, explained, notes, story
from sync.verifier import ledger as ledgers
from sync.verifier import passport as passports
from sync.verifier.defect import choose_suite, printable, read_json, unb64, write_json
from sync.verifier.keys import KEY
from sync.verifier.ledger import Audited
from sync.verifier.passport import PASSPORT_BYTES

Url = Annotated[str, typer.Option(envvar="WAYSTATION_URL", help="节点地址 the node's address")]
URL = "http://127.0.0.1:8700"


FIRST_LINE_BYTES = 1024 * 1024
"""Read of a file to learn what it is."""


class NotAKey(Invalid):
    """不是公钥。That names no key."""

    mend = "请写作 组织代码=公钥，如 jiuquan=AbC…=。Write CODE=KEY, the key in base64."


def passport(  # noqa: PLR0913, PLR0917 - what it is made for.
    id: Annotated[str, typer.Argument(help="流动的编号 the absence's id")],  # noqa: A002
    out: Annotated[Path, typer.Option(help="写入的文件 the file to write")],
    url: Url = URL,
    to: Annotated[str | None, typer.Option(help="只含该组织可见的 what they may see")] = None,
    with_: Annotated[
        list[str] | None, typer.Option("--with", help="并附对方出具的部分 with a peer's own part")
    ] = None,
    show: Annotated[
        list[str] | None, typer.Option(help="只出示这些字段，可多个 only these fields")
    ] = None,
    hide: Annotated[
        list[str] | None, typer.Option(help="隐去这些字段，其余出示 all fields but these")
    ] = None,
    person: Person = "officer",
    purpose: Purpose = None,
    *,
    opened: Annotated[bool, typer.Option(help="附密钥，可读个人信息 with all its keys")] = False,
    member: Annotated[
        bool, typer.Option("--member", help="编号是党员的，出具其全部记录 the id is a member's")
    ] = False,
) -> None:
    """流动护照: facts of an absence or member in a file that proves itself, without us, offline."""
    asked = {"to": to, "opened": opened or None, "show": show, "hide": hide, "peers": with_}
    with closing(Client(url, person, purpose)) as node:
        wire = node.passport("members" if member else "outflows", id, **asked)
    with new_file(out) as file:
        file.write(wire)
    written(out, len(wire))


def export_ledger(
    out: Annotated[Path, typer.Argument(help="写入的文件 the file to write")],
    url: Url = URL,
    person: Person = "officer",
    purpose: Purpose = None,
) -> None:
    """台账导出: all entries, tiles and checkpoints in one file, for whoever audits without us."""
    with closing(Client(url, person, purpose)) as node, new_file(out) as file:
        size = node.ledger(file)
    written(out, size)


def inspect(url: Url = URL) -> None:
    """台账自查: what in the node's database was changed beside it; exit 1 if anything was."""
    with closing(Client(url)) as node:
        said = node.post("/inspection", {})
    for found in said["findings"]:
        typer.echo(f"✗ {found['of']}：{found['where']}，{found['because']}")
    if said["findings"]:
        raise typer.Exit(1)
    typer.echo(f"✓ {said['entries']} 条 entries，全部核对无误 all of it holds")


@contextmanager
def new_file(out: Path) -> Iterator[BinaryIO]:
    """A file that was not there; what could not be written whole is not left behind."""
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise FileThere(file=str(out)) from None
    except OSError as fault:
        raise NotWritten(file=str(out), because=fault.strerror) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
    except BaseException as fault:
        out.unlink()
        if isinstance(fault, OSError):
            raise NotWritten(file=str(out), because=fault.strerror) from None
        raise


def written(out: Path, size: int) -> None:
    """Say so, and how to check it."""
    typer.echo(f"已写入 written：{out}，{size} bytes。验证 check it：waystation verify {out}")


def verify(
    files: Annotated[
        list[Path],
        typer.Argument(help="护照、证据、台账、保存的回答 a passport, evidence, ledger, answer"),
    ],
    key: Annotated[list[str] | None, typer.Option(help="公钥 CODE=KEY，可多个")] = None,
    card: Annotated[
        list[Path] | None, typer.Option(help="名片 a card", exists=True, dir_okay=False)
    ] = None,
    witnesses: Annotated[int, typer.Option(help="至少几个已知见证 known witnesses", min=0)] = 0,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help="另行保存的检查点 kept before", exists=True, dir_okay=False),
    ] = None,
) -> None:
    """验证: offline, with public keys alone; exit 1 and the first bad place where it fails."""
    known = _known(key or [], card or [])
    begins = _read(files[0], FIRST_LINE_BYTES)
    if not begins.startswith(b'{"format":'):
        lines = [line for file in files for line in _answered(_read(file), known, witnesses)]
    else:
        choose_suite(begins)
        if begins.startswith(ledgers.BEGINS):
            kept = [notes.read(_text(path), str(path)) for path in checkpoint or ()]
            audited = (ledgers.verify(file, known, witnesses, kept) for file in files)
            lines = [printable(line) for each in audited for line in told(each)]
        elif begins.startswith(evidence.BEGINS):
            proved = [evidence.verify(_read(file), known, witnesses) for file in files]
            evidence.must_follow(proved)
            lines = [line for each in proved for line in account.told(each)]
        else:
            raw = b"".join(map(_read, files))
            lines = list(story.told(passports.verify(raw, known, witnesses)))
    # Told when all of it holds, and not before: a story half told looks like one that is true.
    for line in lines:
        typer.echo(line)


def _answered(raw: bytes, known: notes.Known, witnesses: int) -> list[str]:
    """An answer of the node as it was saved: of `/history?proof=1`, or of `/explain/…`."""
    said = read_json(raw, "回答 answer")
    if "because" in said:
        choose_suite(write_json(said))
        return list(account.explained(explained.verify(said, known, witnesses)))
    proof = said.get("proof")
    choose_suite(write_json(proof if isinstance(proof, dict) else {}))
    return list(account.answered(answer.verify(said, known, witnesses)))


def _known(written: list[str], cards: list[Path]) -> dict[str, set[str]]:
    known: dict[str, set[str]] = {}
    for each in written:
        code, _, key = each.partition("=")
        if not code or not key:
            raise NotAKey(key=each[:80])
        unb64(key, each[:80], KEY)
        known.setdefault(code, set()).add(key)
    for path in cards:
        card = read_card(_read(path))
        known.setdefault(card.sender, set()).add(card.verify_key)
    return known


def told(ledger: Audited) -> Iterator[str]:
    """What was checked of a whole ledger, as people read it."""
    yield f"{ledger.newest.origin}：{ledger.size} 条 entries，{ledger.streams} 个记录链 streams"
    yield f"检查点 checkpoints {ledger.checkpoints}，最新 newest {ledger.newest.size}"
    if not ledger.known:
        yield "⚠ 首次信任，请电话核对 key taken on first use, compare by telephone:"
    yield f"核对码 fingerprint {ledger.chain.fingerprint}"
    for witness in ledger.witnesses:
        yield f"见证 cosigned by {witness.org}，{witness.at:%Y-%m-%d %H:%M} UTC"
    yield "✓ 全部核对无误 all of it holds"


def _text(path: Path) -> str:
    return _read(path).decode("utf-8", "replace")


def _read(path: Path, most: int = PASSPORT_BYTES + 1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as fault:
        raise NotAFile(because=fault.strerror) from None
