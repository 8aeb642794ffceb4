"""证据报告: an evidence file as a page in Chinese, to be printed, with nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from api.evidence.words import COLUMNS
from domain.errors import Refusal
from sync.verifier import account
from sync.verifier.complete import columns
from sync.verifier.defect import fail, printable
from sync.verifier.evidence import Evidence, fields, word
from sync.verifier.records import Record

ROWS_MAX = 2_000
"""Rows on paper; a file may hold more."""

STYLE = """
@page { size: A4; margin: 14mm 15mm }
body { font: 10pt/1.6 "Songti SC", SimSun, "Noto Serif CJK SC", "Source Han Serif SC", serif;
  color: #000; background: #fff; max-width: 180mm; margin: 0 auto }
h1, h2 { font-family: "Heiti SC", SimHei, "Noto Sans CJK SC", "Source Han Sans SC", sans-serif;
  margin: 4mm 0 1mm; font-size: 12pt; break-after: avoid }
h1 { text-align: center; font-size: 16pt }
table { border-collapse: collapse; width: 100% }
th, td { border: .5pt solid #000; padding: .8mm 1.5mm; text-align: left; vertical-align: top;
  overflow-wrap: anywhere }
th { font-weight: bold; white-space: nowrap }
thead { display: table-header-group }
tr { break-inside: avoid }
code, .hash { font: 9pt/1.4 Menlo, Consolas, monospace; overflow-wrap: anywhere }
.sealed { color: #555 }
"""

_SHOWN = ("subject", "person", "org", "on_day", "recorded_at", "correlation", "source_digest")


class TooManyToPrint(Refusal):
    """行数过多，不能印成一份报告。So many rows are not printed as one report."""

    kind = "invalid"
    mend = "请缩小范围，分几份出具和打印。Make several files, of narrower ranges."


def printed(evidence: Evidence, org: str, name: str) -> str:
    """The whole page, to be printed by the browser.

    Raises:
        Defect: the file is another organization's.
        TooManyToPrint.
    """
    claim, rows = evidence.claim, evidence.proved.rows
    if claim.checkpoint.org != org:
        fail("首行 first line", "another organization's file", by=claim.checkpoint.org)
    if len(rows) > ROWS_MAX:
        raise TooManyToPrint(rows=len(rows), maximum=ROWS_MAX)
    return (
        '<!doctype html><html lang="zh-CN"><meta charset="utf-8">'
        f"<title>审计证据报告 {_said(name)}</title><style>{STYLE}</style><h1>审计证据报告</h1>"
        f"{_table(_about(evidence, name))}"
        f"<h2>结论</h2><p>{_said(_found(evidence))}</p>"
        f"<h2>事实</h2>{_rows(evidence)}"
        f"{_policies(evidence)}"
        f"<h2>释义</h2>{_table((COLUMNS[each], each) for each in _SHOWN)}"
        f"<h2>如何核验</h2>{_how(evidence)}</html>"
    )


def _about(evidence: Evidence, name: str) -> Iterable[tuple[str, str]]:
    claim = evidence.claim
    said, checkpoint, stretch = claim.said, claim.checkpoint, claim.stretch
    yield "出具单位", f"{name}（{checkpoint.org}）"
    yield "出具时间", f"{account.moment(said['made_at'])}（北京时间）"
    yield "出具人", f"{said['person']}（{said['role']}）"
    yield "用途", word(evidence, "purposes", said["purpose"])
    yield "问题", account.asked(claim.question)
    yield "范围", f"台账第 {stretch.after + 1} 条至第 {stretch.upto} 条"
    yield "台账", f"{checkpoint.origin}，签名检查点共 {checkpoint.size} 条"
    yield "检查点根哈希", checkpoint.root.hex()
    seen = "、".join(f"{w.org}（{account.moment(w.at.isoformat())}）" for w in evidence.witnesses)
    yield "见证", seen or "无 none"
    yield "密钥核对码", evidence.chain.fingerprint
    yield "证据文件 SHA-256", evidence.digest


def _found(evidence: Evidence) -> str:
    stretch, rows = evidence.claim.stretch, len(evidence.proved.rows)
    entries = stretch.upto - stretch.after
    return (
        f"范围内共 {entries} 条，逐条核对：{rows} 条符合所问，全部列于下表；"
        f"其余 {entries - rows} 条不符合。未遗漏，未添加，未改动。"
    )


def _rows(evidence: Evidence) -> str:
    heads = ("序号", "发生日期", "事实", "登记", "内容")
    head = "".join(f"<th>{each}</th>" for each in heads)
    body = "".join(_row(evidence, made) for made, _ in evidence.proved.rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _row(evidence: Evidence, made: Record) -> str:
    of = columns(made)
    what = f"{word(evidence, 'topics', made.topic)}（{made.topic}）"
    whose, at = account.organization(evidence, made.keeper), account.moment(of["recorded_at"])
    by = f"{whose} {of['person']}，{at}"
    if policy := made.meta.get("policy"):
        by += f"；依制度第 {policy} 版"
    cells = (str(made.place + 1), str(of["on_day"]), what, by)
    return f"<tr>{''.join(f'<td>{_said(each)}</td>' for each in cells)}<td>{_says(evidence, made)}"


def _says(evidence: Evidence, made: Record) -> str:
    said = (
        f"{_said(each.label)}：{_said(account.shown(evidence, each))}"
        if each.value is not None
        else f'{_said(each.label)}：<span class="sealed">（密封）</span>'
        for each in fields(evidence, made)
    )
    return "<br>".join(said) + "</td></tr>"


def _policies(evidence: Evidence) -> str:
    adopted = [made for made in evidence.facts if made.topic == "policy.adopted"]
    if not adopted:
        return ""
    rows = (
        (
            f"{account.organization(evidence, made.keeper)} 第 {made.version} 版",
            f"{made.said.get('effective_from')} 起：{_terms(evidence, made)}",
        )
        for made in adopted
    )
    return f"<h2>制度</h2>{_table(rows)}"


def _terms(evidence: Evidence, made: Record) -> str:
    terms = made.said.get("terms")
    if not isinstance(terms, dict):
        return str(terms)
    return "；".join(f"{word(evidence, 'terms', name)} {value}" for name, value in terms.items())


def _how(evidence: Evidence) -> str:
    org = _said(evidence.claim.checkpoint.org)
    check = f"<code>waystation verify 证据文件 --card {org}.card</code>"
    steps = (
        "本报告由证据文件印成，以文件为准。文件的 SHA-256 须与上列一致。",
        f"向出具单位索取名片，以电话核对密钥核对码；在任一台计算机上离线运行：{check}。",
        "程序逐条重算范围内每一条的哈希，直至签名检查点的根哈希，并按所问重新筛选。",
        "有任何一条被删、被添、被改，程序即指出其位置，退出码不为 0。",
        "“进入本台账的时间”由本节点自记，不在证明之内；所记之事是否属实，任何文件都不能证明。",
    )
    return "<ol>" + "".join(f"<li>{each}</li>" for each in steps) + "</ol>"


def _table(rows: Iterable[tuple[str, Any]]) -> str:
    made = (f"<tr><th>{_said(name)}</th><td>{_said(value)}</td></tr>" for name, value in rows)
    return f"<table>{''.join(made)}</table>"


def _said(text: Any) -> str:
    """Values come from the file and are no markup."""
    return escape(printable(str(text)))
