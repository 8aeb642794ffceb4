"""查阅种类: every kind of looking at personal data, with how it is known whose it was."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from uuid import UUID

from fastapi import Request, Response
from pydantic_core import from_json

from api.access.reading import Reading, rows, shown_fields
from api.app_state import running
from domain.aggregate import Aggregate
from domain.erasure import Erasure
from domain.inflow import Inflow
from domain.outflow import Outflow
from domain.records import head
from domain.transfer import Transfer
from sync.verifier.evidence import fields

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Whose = Callable[[Request, Any], Iterable[UUID | None]]

_IN_BUNDLE = """
    SELECT DISTINCT (convert_from(e.state, 'UTF8')::json #>> '{meta,subject}')::uuid AS subject
    FROM lane_out o JOIN stored_events e
        ON e.originator_id = o.stream AND e.originator_version = o.version
    WHERE o.peer = %(peer)s AND o.number BETWEEN %(first)s AND %(last)s
"""
_GIVEN_BACK = "SELECT DISTINCT subject FROM history WHERE org = %(peer)s AND subject IS NOT NULL"
"""Whoever a peer's own facts are about: which of them it no longer has, it alone knows."""
_EVERYBODY = "SELECT DISTINCT subject FROM history WHERE subject IS NOT NULL"
_SET_ASIDE = "SELECT DISTINCT subject FROM quarantine WHERE peer = %(peer)s"


def _column(name: str) -> Whose:
    def whose(_: Request, found: Any) -> Iterable[UUID | None]:
        return [row[name] for row in rows(found)]

    return whose


def _member(request: Request, _: Any) -> Iterable[UUID | None]:
    return [UUID(request.path_params["member"])]


def _of_phone(_: Request, found: Any) -> Iterable[UUID | None]:
    return [row[name] for row in found["items"] for name in ("member", "person")]


def _of_outflow(request: Request, _: Any) -> Iterable[UUID | None]:
    ledger = running(request).node.ledger
    return [ledger.look_up(Outflow, UUID(request.path_params["outflow"])).member]


def _of_key(request: Request, _: Any) -> Iterable[UUID | None]:
    key = UUID(request.path_params["key"])
    return [running(request).node.ledger.look_up(Aggregate, key).subject]


def _of_facts(request: Request, found: Any) -> Iterable[UUID | None]:
    ledger = running(request).node.ledger
    streams = (UUID(str(row["fact"]["stream"])) for row in rows(found))
    return [ledger.look_up(Aggregate, stream).subject for stream in streams]


def _of_erasure(request: Request, _: Any) -> Iterable[UUID | None]:
    ledger = running(request).node.ledger
    return [ledger.look_up(Erasure, UUID(request.path_params["erasure"])).person]


def _of_transfer(request: Request, found: Any) -> Iterable[UUID | None]:
    id_ = request.path_params.get("transfer") or found["transfer"]
    transfer = running(request).node.ledger.find(Transfer, UUID(str(id_)))
    return [] if transfer is None else [transfer.member]


def _of_inflows(request: Request, found: Any) -> Iterable[UUID | None]:
    ledger = running(request).node.ledger
    return [ledger.look_up(Inflow, row["inflow"]).subject for row in rows(found)]


def _of_fact(request: Request, found: Any) -> Iterable[UUID | None]:
    fact = running(request).tracker.find(found["stream"], found["version"])
    return [] if fact is None else [head(fact.record).meta.subject]


def _of_set_aside(request: Request, found: Any) -> Iterable[UUID | None]:
    node, number = running(request).node, request.path_params.get("number")
    if number is None:
        named = node.database.rows(_SET_ASIDE, {"peer": request.query_params["peer"]})
    else:
        known = node.lanes.quarantined_one(int(number))
        named = [known] if known else []
    return [*(row["subject"] for row in named), *_anywhere(request, found)]


def _anywhere(_: Request, found: Any) -> Iterable[UUID | None]:
    """Whoever is named, however deep; for answers that are small."""
    return [each for each in _named(found, None) if isinstance(each, UUID)]


def _named(found: Any, name: str | None) -> Iterator[Any]:
    if isinstance(found, dict):
        for key, value in found.items():
            yield from _named(value, key)
    elif isinstance(found, list | tuple):
        for each in found:
            yield from _named(each, name)
    elif name in {"member", "members", "subject", "subjects", "person"}:
        yield found


def _in_bundle(request: Request, found: Any) -> Iterable[UUID | None]:
    assert isinstance(found, Response)
    said = json.loads(found.headers["Waystation-Bundle"])
    asked = {"peer": request.path_params["peer"], **said}
    if "first" not in said:
        return []  # Nothing was new: there is no file.
    query = _GIVEN_BACK if said["gives"] else _IN_BUNDLE
    found_rows = running(request).node.database.rows(query, asked)
    return [row["subject"] for row in found_rows]


def _in_entries(_: Request, found: Any) -> Iterable[UUID | None]:
    """Each entry behind its length, its state behind stream, version and topic."""
    body, at = found.body, 0
    while at < len(body):
        end = at + 2 + int.from_bytes(body[at : at + 2])
        state = at + 28 + int.from_bytes(body[at + 26 : at + 28])
        subject = from_json(body[state:end])["meta"].get("subject")
        yield UUID(subject) if subject else None
        at = end


def _in_findings(_: Request, found: Any) -> Iterable[UUID | None]:
    """The ids that a bad place is named by; a row of a read model is a person's, say."""
    return [UUID(id_) for each in found["findings"] for id_ in _UUID.findall(each["where"])]


def _everybody(request: Request, _: Any) -> Iterable[UUID | None]:
    rows = running(request).node.database.rows(_EVERYBODY, {})
    return [row["subject"] for row in rows]


def _facts_in_passport(_: Request, found: Any) -> Iterable[UUID | None]:
    return [_subject(line) for line in _lines(found) if "state" in line]


def _on_opened(_: Request, found: Any) -> Iterable[str]:
    """The fields whose keys it carries; the others are ciphertext."""
    opened = (line["field"] for line in _lines(found) if "field" in line)
    return dict.fromkeys(("facts", *opened))


def _lines(found: Any) -> Iterator[dict[str, Any]]:
    return map(from_json, found.body.splitlines())


def _of_history(_: Request, found: Any) -> Iterable[UUID | None]:
    """Of the rows, and of the entries that a proof shows beside them."""
    yield from (row["subject"] and UUID(str(row["subject"])) for row in found["items"])
    for each in found.get("proof", {}).get("others", ()):
        yield _subject(each)


def _on_history(request: Request, found: Any) -> Iterable[str]:
    return dict.fromkeys((*shown_fields(request, found), *(("facts",) if "proof" in found else ())))


def _subject(entry: dict[str, Any]) -> UUID | None:
    subject = from_json(entry["state"])["meta"].get("subject")
    return UUID(subject) if subject else None


def _in_evidence(_: Request, found: Any) -> Iterable[UUID | None]:
    return map(_subject, _entries(found))


def _entries(found: Any) -> Iterator[dict[str, Any]]:
    for said in _lines(found):
        if (entry := said.get("row") or said.get("passed")) is not None:
            yield entry


def _printed(request: Request, _: Any) -> Iterable[UUID | None]:
    """Whom a report shows, from the file that it was made of."""
    subjects = (made.meta.get("subject") for made, _ in request.state.printed.proved.rows)
    return [UUID(each) for each in subjects if each]


def _on_report(request: Request, _: Any) -> Iterable[str]:
    evidence = request.state.printed
    shown = (each for made, _ in evidence.proved.rows for each in fields(evidence, made))
    return dict.fromkeys(("facts", *(each.name for each in shown if each.value is not None)))


def _always(*names: str) -> Callable[[Request, Any], Iterable[str]]:
    return lambda _request, _found: names


def _asked_field(request: Request, _: Any) -> Iterable[str]:
    return [request.path_params["field"]]


def _on_explained(request: Request, _: Any) -> Iterable[str]:
    return [request.path_params["field"], "facts"]


def _differing(_: Request, found: Any) -> Iterable[str]:
    return dict.fromkeys(name for each in found["differences"] for name in each)


_ON_A_LETTER = (
    *("name", "sex", "age", "ethnic", "category", "number", "phone", "address", "branch"),
    *("dues_paid_to", "letter", "to_name"),
)

# What officers look at every day says for itself what for; an auditor's question does not.
ROSTER = Reading("roster", "花名册", _column("member"), "care")
ABSENCE = Reading("absence", "一次流动", _column("member"), "care")
FINDING = Reading("find", "按号码查找", _column("member"), "care")
PHONE = Reading("find-phone", "按电话查找", _of_phone, "care")
CUSTODY = Reading("custody", "交接看板", _column("member"), "handover")
CLAIMS = Reading("claims", "待认领", _of_inflows, "handover")
ALARMS = Reading("alarms", "不断线", _column("member"), "care")
DUE = Reading("contacts-due", "联系情况", _column("member"), "care")
MARKS = Reading("attendance", "考勤", _column("member"), "care")
TRANSFERS = Reading("transfers", "转接看板", _column("member"), "transfer")
TRANSFER = Reading("transfer", "一次转接", _column("member"), "transfer")
MEMBERS = Reading("members", "组织关系", _column("member"), "transfer")
LETTER = Reading(
    "letter", "介绍信", _of_transfer, "transfer", "print", fields=_always(*_ON_A_LETTER)
)
SCAN = Reading("scan", "扫描介绍信", _of_transfer, "transfer")
BUNDLE = Reading(
    "bundle", "数据包", _in_bundle, "handover", "export", fields=_always("facts", "keys")
)
ENTRIES = Reading("entries", "台账条目", _in_entries, "audit", "export", fields=_always("facts"))
PASSPORT = Reading("passport", "流动护照", _facts_in_passport, "audit", "export", fields=_on_opened)
LEDGER = Reading("ledger", "台账导出", _everybody, "audit", "export", fields=_always("facts"))
QUARANTINE = Reading("quarantine", "隔离区", _anywhere, "operation")
SET_ASIDE = Reading("quarantined", "隔离的一条", _of_set_aside, "operation")
RETRY = Reading("retry", "隔离重试", _of_set_aside, "operation")
INSPECTION = Reading("inspection", "台账自查", _in_findings, "operation", fields=_always("where"))
WHERE = Reading("where", "事实在哪里", _of_fact, "operation")
RECONCILE = Reading("reconcile", "对账", _anywhere, "operation", fields=_differing)
ERASURES = Reading("erasures", "删除看板", _column("person"), "rights")
RETENTION = Reading("retention", "保存期限", _column("person"), "rights")
CONSULTED = Reading("consulted", "查阅限制处理的信息", _of_erasure, "audit")
MINE = Reading("who-saw", "谁看过我的信息", _member, "rights")

RESPONSIBLE = Reading("responsible", "谁负责", _of_outflow)
KNOWN = Reading("known", "当时所知", _of_outflow)
TRAIL = Reading("trail", "来历", _member, fields=_asked_field)
CARED = Reading("responsible-for", "某人由谁负责", _member)
CHANGES = Reading("known-changes", "所知之变", _of_outflow)
ATTEMPTS = Reading("attempts", "查找与证据", _member)
LATE = Reading("late", "超期", _column("member"))
RECOUNTED = Reading("recounted", "统计之变", _of_facts)
EXPLAINED = Reading("explained", "解释", _of_key, fields=_on_explained)
HISTORY = Reading("history", "历史", _of_history, fields=_on_history)
EVIDENCE_FILE = Reading(
    "evidence-file", "审计证据", _in_evidence, "audit", "export", fields=_on_opened
)
REPORT = Reading("evidence-report", "审计证据报告", _printed, "audit", "print", fields=_on_report)
EVIDENCE = Reading("evidence", "隔离证据", _of_set_aside)
LOG = Reading("access", "查阅记录", _anywhere)
SEEN = Reading("access-of", "某人信息的查阅", _member)

READINGS = {reading.what: reading for reading in globals().values() if isinstance(reading, Reading)}
"""By the name under which it is recorded."""
