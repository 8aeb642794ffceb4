"""原因: why a row differs between two nodes, which fact is missing where, and who can mend it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from domain.values import OrgCode
from sync.compare import FACTS, VERSIONS_MAX, FactTold, Row, RowName, Waiting


class Cause(StrEnum):
    """Why."""

    LANE_BEHIND = "lane-behind"
    FACT_PARKED = "fact-parked"
    FACT_GONE = "fact-gone"
    FACT_DIFFERS = "fact-differs"
    MODEL_STOPPED = "model-stopped"
    MODEL_BEHIND = "model-behind"
    MODEL_EDITED = "model-edited"
    KEY_MISSING = "key-missing"
    RULES_DIFFER = "rules-differ"
    CONTRADICTION = "contradiction"


SAID: dict[Cause, tuple[str, str]] = {
    Cause.LANE_BEHIND: (
        "对方的记录尚未送达。Facts have not arrived yet.",
        "等待通道追上，或在落后一方执行 reconcile。Wait for the lane, or reconcile there.",
    ),
    Cause.FACT_PARKED: (
        "对方的记录被隔离。Facts are quarantined.",
        "waystation show quarantine，再 waystation retry。See the quarantine, then retry.",
    ),
    Cause.FACT_GONE: (
        "已登记的记录不在台账中，数据库被改动。A recorded fact is gone: the database was edited.",
        "请从备份恢复该节点的数据库。Restore that node's database from its backup.",
    ),
    Cause.FACT_DIFFERS: (
        "同一条记录两边字节不同，数据库被改动。A fact has other bytes: a database was edited.",
        "以保管组织的检查点为准，恢复另一方。Hold both to the lane's roots; restore the other.",
    ),
    Cause.MODEL_STOPPED: (
        "读模型已停止。The read model has stopped.",
        "日志说明原因；改正后 waystation rebuild。Read why in its log, then rebuild it.",
    ),
    Cause.MODEL_BEHIND: (
        "读模型落后于台账。The read model stands behind its ledger.",
        "稍候，或 waystation rebuild。Wait, or rebuild it.",
    ),
    Cause.MODEL_EDITED: (
        "读模型中的行与其事实不符。The row is not what its facts say.",
        "在该节点执行 waystation reconcile 或 rebuild。Reconcile there, or rebuild it.",
    ),
    Cause.KEY_MISSING: (
        "已约定可见，但密钥没有送达。The class is granted, but its key never arrived.",
        "由保管组织执行 waystation reconcile。Its keeper reconciles: the key is sent again.",
    ),
    Cause.RULES_DIFFER: (
        "两边程序版本不同。The nodes compute by different versions of the rules.",
        "请升级较旧的节点。Upgrade the older node.",
    ),
    Cause.CONTRADICTION: (
        "对方所说前后不一。What the peer says contradicts itself.",
        "请电话核实对方节点。Ask its operator by telephone.",
    ),
}


class Missing(NamedTuple):
    """A fact that one side does not have."""

    at: OrgCode
    stream: UUID
    version: int
    topic: str
    digest: str


class Pair(NamedTuple):
    """What is known of both sides when a difference is judged."""

    here: OrgCode
    there: OrgCode
    behind: frozenset[OrgCode]
    """To whom a lane has not delivered everything."""
    waiting: dict[OrgCode, tuple[Waiting, ...]]
    models: dict[str, str]
    """By table, its read model."""
    same_rules: bool


class Difference(NamedTuple):
    """One row that differs, and why."""

    model: str
    key: UUID
    stream: UUID
    member: UUID | None
    outflow: UUID | None
    fields: tuple[str, ...]
    row: str
    cause: Cause
    at: OrgCode
    missing: tuple[Missing, ...]
    last_here: FactTold | None
    last_there: FactTold | None

    def told(self, name: str | None, *, mended: bool) -> dict[str, Any]:
        """As people read it."""
        said, mend = SAID[self.cause]
        return {
            **self._asdict(),
            "missing": [each._asdict() for each in self.missing],
            "last_here": _last(self.last_here),
            "last_there": _last(self.last_there),
            "name": name,
            "said": said,
            "mend": mend,
            "mended": mended,
        }


class Case(NamedTuple):
    """One row that differs, as both sides tell it."""

    name: RowName
    ours: Row
    theirs: Row
    keeper: OrgCode


def judge(case: Case, pair: Pair) -> Difference:
    """What differs in a row, and the nearest cause that explains it."""
    ours, theirs = case.ours, case.theirs
    mine, other = ours.fields, theirs.fields
    both = mine is not None and other is not None
    apart = (mine or {}).items() ^ (other or {}).items()
    missing = _missing(ours, theirs, pair)
    cause, at = _why_missing(missing[0].at, case, pair) if missing else _why_unequal(case, pair)
    return Difference(
        model=case.name.model,
        key=case.name.key,
        stream=ours.stream if ours.facts else theirs.stream,
        member=ours.subject or theirs.subject,
        outflow=ours.outflow or theirs.outflow,
        fields=tuple(sorted({field for field, _ in apart})) if both else (),
        row="differs" if both else "missing-there" if mine is not None else "missing-here",
        cause=cause,
        at=at,
        missing=missing,
        last_here=ours.facts[-1] if ours.facts else None,
        last_there=theirs.facts[-1] if theirs.facts else None,
    )


def _missing(ours: Row, theirs: Row, pair: Pair) -> tuple[Missing, ...]:
    here = {fact.version: fact for fact in ours.facts}
    there = {fact.version: fact for fact in theirs.facts}
    # Of a long stream only the newest are told: older than one of the windows is not missing.
    first = max(_first(ours), _first(theirs))
    return tuple(
        Missing(org, stream, version, have[version].topic, have[version].digest)
        for org, stream, have, has in (
            (pair.here, theirs.stream, there, here),
            (pair.there, ours.stream, here, there),
        )
        for version in sorted(have.keys() - has.keys())
        if version >= first
    )


def _first(row: Row) -> int:
    return row.facts[0].version if len(row.facts) == VERSIONS_MAX else 1


def _why_missing(at: OrgCode, case: Case, pair: Pair) -> tuple[Cause, OrgCode]:
    row = case.ours if at == pair.here else case.theirs
    if case.keeper != at and at in pair.behind:
        return Cause.LANE_BEHIND, at
    return (Cause.FACT_PARKED if row.parked else Cause.FACT_GONE), at


def _why_unequal(case: Case, pair: Pair) -> tuple[Cause, OrgCode]:
    sides = ((pair.here, case.ours), (pair.there, case.theirs))
    # Of a long stream, what differs may lie before the facts that are told.
    if case.ours.facts != case.theirs.facts or case.name.model == FACTS:
        return Cause.FACT_DIFFERS, next(org for org, _ in sides if org != case.keeper)
    model = pair.models.get(case.name.model, case.name.model)
    for org, row in sides:
        for each in pair.waiting[org]:
            if each.model == model:
                return _WAITS[each.because], org
        if row.edited:
            return Cause.MODEL_EDITED, org
    if not pair.same_rules:
        return Cause.RULES_DIFFER, pair.there
    lacks = next((org for org, row in sides if row.lacking and org != case.keeper), None)
    return (Cause.CONTRADICTION, pair.there) if lacks is None else (Cause.KEY_MISSING, lacks)


_WAITS = {"stopped": Cause.MODEL_STOPPED, "behind": Cause.MODEL_BEHIND}


def _last(fact: FactTold | None) -> dict[str, Any] | None:
    return fact.model_dump(mode="json") if fact else None
