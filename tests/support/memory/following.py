"""内存跟随: api/following.py's questions over rows in memory; each keeps that one's promises."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from pydantic_core import from_json

from api.following import GRACE_DAYS
from domain.commands import (
    Command,
    ExpireTransfer,
    ForwardRecord,
    HandOn,
    PassOn,
    ReceiveMember,
    TraceFile,
)
from domain.passage import State
from domain.transfer import FORWARDED_BYTES

Row = dict[str, Any]

_GRACE = timedelta(days=GRACE_DAYS)
_RANK = {"outflow": 1, "transfer": 2, "member": 3}


class Filed(NamedTuple):
    """A file that goes on at an organization which has said so."""

    file: UUID
    transfer: UUID
    came_by: UUID | None
    continues: UUID | None
    keeper: str
    person: UUID
    at: datetime
    to: str


def due(database: Any, org: str, peers: list[str], now: datetime) -> list[Command]:
    """As the product's: of each kind in its order."""
    transfers = database.rows["transfer"].values()
    if not transfers and not database.rows["affiliation"]:
        return []
    expired = [
        (t["until"], t["transfer"], t["dispatch"])
        for t in transfers
        if t["state"] == State.SENT and t["origin"] == org and t["until"] <= now
    ]
    found: list[Command] = [ExpireTransfer(transfer=t, dispatch=n) for _, t, n in sorted(expired)]
    found += [ReceiveMember(transfer=t) for t in sorted(_released(database, org))]
    filed = list(_filed(database))
    found += [PassOn(transfer=t, to=to) for t, to in sorted(_to_pass_on(database, org, filed))]
    found += [TraceFile(transfer=t, file=f) for t, f in sorted(_to_trace(database, org))]
    found += _to_hand_on(database, org, peers, filed)
    if filed:
        found += _to_forward(database, org, now, filed)
    return found


def _released(database: Any, org: str) -> Iterator[UUID]:
    files = database.rows["affiliation"].values()
    going_on = {f["continues"] for f in files}
    for file in files:
        ours = file["released_to"] == org and file["keeper"] != org
        if ours and file["member"] not in going_on:
            yield file["transfer"]


def _filed(database: Any) -> Iterator[Filed]:
    answers = {
        (a["transfer"], a["org"]): a
        for a in database.rows["transfer_answer"].values()
        if a["file"] is not None
    }
    for file in database.rows["affiliation"].values() if answers else ():
        answer = answers.get((file["transfer"], file["released_to"]))
        if answer is not None:
            said = (file[name] for name in ("member", *Filed._fields[1:6]))
            yield Filed(*said, answer["filed_at"], answer["org"])


def _onward(database: Any, org: str, filed: list[Filed]) -> Iterator[Filed]:
    """Files with whom they have gone on to, as far as the receivers of our transfers say."""
    yield from filed
    for each in filed:
        for said in database.rows["affiliation_onward"].values() if each.keeper == org else ():
            if (said["transfer"], said["org"]) == (each.transfer, each.to):
                yield each._replace(to=said["onward"])


def _absences(database: Any, file: UUID) -> set[UUID]:
    rows = database.rows["affiliation_absence"].values()
    return {r["outflow"] for r in rows if r["member"] == file}


def _to_pass_on(database: Any, org: str, filed: list[Filed]) -> set[tuple[UUID, str]]:
    rows = database.rows["affiliation_onward"].values()
    said = {(r["transfer"], r["onward"]) for r in rows if r["org"] == org}
    found: set[tuple[UUID, str]] = set()
    for each in _onward(database, org, filed):
        before = database.rows["affiliation"].get(each.continues)
        known = before is None or before["keeper"] == each.to or each.keeper != org
        if each.came_by is not None and not known and (each.came_by, each.to) not in said:
            found.add((each.came_by, each.to))
    return found


def _to_trace(database: Any, org: str) -> set[tuple[UUID, UUID]]:
    files = database.rows["affiliation"]
    traced = {r["file"] for r in database.rows["affiliation_traced"].values() if r["org"] == org}
    found: set[tuple[UUID, UUID]] = set()
    for ours in files.values():
        before = files.get(ours["continues"]) if ours["keeper"] == org else None
        while before is not None and (before := files.get(before["continues"])):
            released = before["keeper"] != org and before["released_on"] is not None
            if released and before["member"] not in traced:
                found.add((ours["came_by"], before["member"]))
    return found


def _kept(database: Any, org: str, filed: list[Filed]) -> set[tuple[UUID, str]]:
    """What we keep, and who is to hear it: streams and organizations."""
    history = [row for row in database.rows["history"].values() if row["org"] == org]
    found: set[tuple[UUID, str]] = set()
    for each in _onward(database, org, filed):
        absences = _absences(database, each.file)
        found |= {(row["stream"], each.to) for row in history if row["outflow"] in absences}
        if each.keeper == org:
            found |= {(each.file, each.to), (each.transfer, each.to)}
    hears = {(r["outflow"], r["org"]) for r in database.rows["affiliation_hears"].values()}
    for said in database.rows["affiliation_traced"].values():
        for outflow in _absences(database, said["file"]):
            if (outflow, said["org"]) in hears:
                ours = (row["stream"] for row in history if row["outflow"] == outflow)
                found |= {(stream, said["org"]) for stream in ours}
    return found


def _to_hand_on(database: Any, org: str, peers: list[str], filed: list[Filed]) -> list[Command]:
    kept = _kept(database, org, filed)
    wanted = {each for each in kept if each[1] in peers and each[::-1] not in database.lane_facts}
    first: dict[tuple[UUID, str], tuple[int, int]] = {}
    for row in database.rows["history"].values() if wanted else ():
        kind = row["topic"].split(".")[0]
        for to in peers if kind != "claim" else ():
            if (row["stream"], to) in wanted:
                known = first.get((row["stream"], to), (9, 0))
                rank = min(known[0], _RANK.get(kind, 4))
                position = min(known[1] or row["position"], row["position"])
                first[row["stream"], to] = rank, position
    found = sorted((*place, to, record) for (record, to), place in first.items())
    return [HandOn(record=record, to=to) for *_, to, record in found]


def _theirs(database: Any, org: str, filed: list[Filed]) -> Iterator[tuple[Filed, set[UUID]]]:
    """Streams that tell of a file we have released, and of those before it."""
    files, history = database.rows["affiliation"], database.rows["history"].values()
    for each in filed:
        file = files.get(each.file) if each.keeper == org else None
        while file is not None:
            absences = _absences(database, file["member"])
            streams = {row["stream"] for row in history if row["outflow"] in absences}
            streams |= {file["member"], file["transfer"]}
            answers = database.rows["transfer_answer"].values()
            streams |= {a["admission"] for a in answers if a["transfer"] == file["transfer"]}
            yield each, streams
            file = files.get(file["continues"])


def _to_forward(database: Any, org: str, now: datetime, filed: list[Filed]) -> list[Command]:
    found: set[tuple[int, UUID, UUID, int]] = set()
    rows = database.rows["transfer_forwarded"].values()
    forwarded = {(r["transfer"], r["record"], r["version"]) for r in rows}
    for each, streams in _theirs(database, org, filed):
        for row in database.rows["history"].values():
            key = (each.transfer, row["stream"], row["version"])
            theirs = row["stream"] in streams and row["org"] not in {org, each.to}
            late = all(abs(at - now) > _GRACE for at in (each.at, row["recorded_at"]))
            told = not row["topic"].startswith("claim.") and row["subject"] == each.person
            if not (theirs and late and told) or key in forwarded:
                continue
            small = len(database.entries[row["position"] - 1].record.state) <= FORWARDED_BYTES
            if small and each.to not in _audience(database, row["stream"]):
                found.add((row["position"], *key))
    return [ForwardRecord(transfer=t, record=r, version=v) for _, t, r, v in sorted(found)]


def _audience(database: Any, stream: UUID) -> set[str]:
    records = database.recorder.select_events(stream)
    return {code for r in records for code in from_json(r.state)["meta"].get("audience", [])}
