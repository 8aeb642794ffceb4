"""对账结果: what a comparison found, and what a certificate says, as people read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from sync.certificate import Certificate


def show_differences(console: Console, report: dict[str, Any]) -> None:
    """What a comparison found, as people read it."""
    table = Table("党员", "读模型", "字段", "原因", "在", "处理", title="差异 differences")
    for each in report["differences"]:
        who = each["name"] or str(each["member"] or each["stream"])
        mend = "已改正 mended" if each["mended"] else each["mend"]
        fields = ", ".join(each["fields"]) or each["row"]
        table.add_row(who, each["model"], fields, each["said"], each["at"], mend)
    if report["differences"]:
        console.print(table)
    for line in _besides(report):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    proven = f"，最近证明一致 last proven in step {report['proven_at'] or '–'}"
    state = "一致 in step" if report["equal"] else "不一致 not in step"
    rows = sum(report["rows"].values())
    console.print(f"{report['peer']}: {state}，{rows} 行 rows{proven}", soft_wrap=True)


def _besides(report: dict[str, Any]) -> Iterator[str]:
    """What keeps both from being in step besides single rows, and what could not be mended."""
    for lane in report["lanes"]:
        if lane["told"] != lane["heard"]:
            yield f"通道 lane → {lane['to']}: {lane['heard']} / {lane['told']} 尚未追上 behind"
        elif not lane["same_root"]:
            yield f"通道 lane → {lane['to']}: 历史不一致 another history at {lane['told']}"
    for org, waiting in report["waiting"].items():
        yield from (f"{org}: {each['model']} {each['because']}" for each in waiting)
    if report["more"]:
        yield "还有更多差异未列出 there are more differences"
    if report["moved"]:
        yield f"{report['moved']} 行正在变动，请稍后再试 rows are changing, try again"
    yield from (f"未能改正 not mended: {each}" for each in report["not_mended"])


def show_certificate(console: Console, said: Certificate) -> None:
    """What a certificate says, a line each."""
    parties = " — ".join(said.parties)
    lines = [f"证明成立 the certificate holds: {parties}，{said.at:%Y-%m-%d %H:%M:%S} UTC"]
    lines += [
        f"{lane.source} → {lane.destination}: {lane.number} {lane.root}" for lane in said.lanes
    ]
    lines += [f"{model.name}: {model.rows} {model.root}" for model in said.models]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
