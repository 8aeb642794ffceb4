"""来件检查: what a node must record of a peer's lane, and what it must refuse or set aside."""

from __future__ import annotations

from uuid import uuid4

from api.partner.caller import ANSWER_S
from api.partner.probe import NOBODY
from api.partner.report import Failed, NotRun
from api.partner.script import Check, Visit
from sync.envelope import BATCH_BYTES, LaneEntry
from sync.strict import DEPTH_MAX

COME_S = 45.0
"""How long the node may take to come for the first time after the probe was enrolled."""

AGAIN = "退回，再按原编号来取，其后照常 refused, asked again, the next accepted"
RECORDED = "回单编号与根值正确 a receipt, its number and root"
ASIDE = "暂存此条，通道照常 that entry set aside, the lane goes on"


def _pulls(visit: Visit) -> str:
    counter = visit.counter
    if not counter.wait(lambda: counter.pulls > 0, COME_S):
        said = f"; refused here: {counter.faults[0]}" if counter.faults else ""
        raise Failed(f"nobody came to {visit.probe.address} in {COME_S:g} s{said}")
    if counter.after:
        raise Failed(f"asked after {counter.after} of a lane nobody has sent")
    return "a signed pull after 0"


def _heartbeat(visit: Visit) -> str:
    heard = visit.counter.serve(visit.lane.heartbeat(), ANSWER_S)
    if heard is None or heard.after or any(r.number for r in heard.receipts):
        raise Failed("did not come again" if heard is None else f"asks after {heard.after}")
    return "asks again after 0"


def _good(visit: Visit) -> str:
    return visit.lane.good("探针 probe")


def _duplicate(visit: Visit) -> str:
    lane, counter = visit.lane, visit.counter
    batch = lane.batch(lane.next("探针 probe: twice"))
    wire = batch.signed(visit.probe.keys)
    if not counter.lose(wire, ANSWER_S):
        raise Failed("no receipt of a good batch")
    for _ in range(2):
        # The first may reach a node that has not noticed yet that its receipt was lost.
        heard = counter.serve(wire, ANSWER_S)
        if heard is None or heard.after != batch.last or any(r.refused for r in heard.receipts):
            lane.adopt(heard)
            raise Failed("refused" if heard else "the node did not come again")
        if counter.wait(lambda: any(r.number == batch.last for r in counter.receipts), 1.0):
            break
    told = lane.acknowledged(batch, heard)
    return f"{told}; then {lane.good('探针 probe: after it came twice')}"


def _gap(visit: Visit) -> str:
    lane = visit.lane
    batch = lane.batch(lane.next("gap"), first=lane.number + 3)
    return lane.refused(batch.signed(visit.probe.keys), "gap")


def _altered(visit: Visit) -> str:
    lane = visit.lane
    wire = lane.batch(lane.next("altered")).signed(visit.probe.keys)
    return lane.refused(wire + b" ", "altered batch")


def _other_key(visit: Visit) -> str:
    lane = visit.lane
    wire = lane.batch(lane.next("forged")).signed(visit.probe.stranger)
    return lane.refused(wire, "forged batch")


def _wrong(visit: Visit, after: str, **said: object) -> str:
    lane = visit.lane
    batch = lane.batch(lane.next(after), **said)
    return lane.refused(batch.signed(visit.probe.keys), after)


def _wrong_sender(visit: Visit) -> str:
    return _wrong(visit, "wrong sender", sender=NOBODY)


def _wrong_receiver(visit: Visit) -> str:
    return _wrong(visit, "wrong receiver", receiver=NOBODY)


def _wrong_root(visit: Visit) -> str:
    return _wrong(visit, "wrong root", root="1" * 64)


def _rewritten(visit: Visit) -> str:
    lane, probe = visit.lane, visit.probe
    if not lane.version:
        lane.good("探针 probe: anew")
    other = probe.entry("unit.renamed", lane.unit, lane.version, name="another past")
    more = probe.entry("unit.renamed", lane.unit, lane.version + 1, name="and on")
    batch = lane.batch(other, more, first=lane.number, before=lane.before)
    return lane.refused(batch.signed(probe.keys), "rewritten past")


def _oversize(visit: Visit) -> str:
    lane = visit.lane
    wire = lane.padded(lane.batch(lane.next("oversize")), BATCH_BYTES)
    return lane.refused(wire, "oversize")


def _malformed(visit: Visit) -> str:
    return visit.lane.refused(visit.lane.raw(b'{"sender": '), "no JSON")


def _body(visit: Visit) -> bytes:
    """Of a good batch, without its closing bracket."""
    lane = visit.lane
    batch = lane.batch(lane.next("not quite JSON"))
    return batch.model_dump_json().encode()[:-1]


def _duplicate_key(visit: Visit) -> str:
    twice = _body(visit) + f',"first":{visit.lane.number + 1}}}'.encode()
    return visit.lane.refused(visit.lane.raw(twice), "duplicate key")


def _deep(visit: Visit) -> str:
    levels = DEPTH_MAX * 2
    deep = _body(visit) + b',"newer":' + b"[" * levels + b"]" * levels + b"}"
    return visit.lane.refused(visit.lane.raw(deep), "deep JSON")


def _old_envelope(visit: Visit) -> str:
    lane = visit.lane
    wire = lane.batch(lane.next("old envelope")).signed(visit.probe.keys)
    return lane.refused(wire.replace(b"/v1 ", b"/v0 ", 1), "old envelope")


# What is newer or older than the node.


def _unknown_field(visit: Visit) -> str:
    return visit.lane.good("探针 probe: newer field", newer={"since": "v9"})


def _unknown_topic(visit: Visit) -> str:
    noted = visit.probe.entry("probe.noted", uuid4(), note="of a newer version")
    return visit.lane.good("探针 probe: newer topic", noted)


def _newer_schema(visit: Visit) -> str:
    called = {"zh": "探针", "en": "probe"}
    newer = visit.probe.entry("unit.opened", uuid4(), schema_version=99, called=called)
    return visit.lane.good("探针 probe: newer schema", newer)


def _older_schema(visit: Visit) -> str:
    entry = visit.lane.next("探针 probe: oldest schema")
    # The first version did not yet name itself.
    state = entry.state.replace('"schema_version":1,', "", 1)
    batch = visit.lane.batch(entry.model_copy(update={"state": state}))
    heard = visit.counter.serve(batch.signed(visit.probe.keys), ANSWER_S)
    return visit.lane.acknowledged(batch, heard)


# What is a fault of one entry alone.


def _aside(visit: Visit, name: str, bad: LaneEntry) -> str:
    number = visit.lane.number + 1
    told = visit.lane.good(f"探针 probe: {name}", bad)
    newest = visit.counter.receipts[-1]
    if newest.stopped is None:
        raise NotRun(f"{told}; its receipts are too old to say whether {number} is set aside")
    aside = {refused.number for refused in newest.parked}
    if number not in aside or number + 1 in aside:
        raise Failed(f"{told}; {number} was not set aside alone")
    return f"{told}; {number} is set aside"


def _other_keeper(visit: Visit) -> str:
    bad = visit.probe.entry("unit.opened", uuid4(), name="x", kind="branch", keeper=NOBODY)
    return _aside(visit, "other keeper", bad)


def _other_author(visit: Visit) -> str:
    author = visit.node.sender
    bad = visit.probe.entry("unit.opened", uuid4(), name="x", kind="branch", author=author)
    return _aside(visit, "other author", bad)


def _version_gap(visit: Visit) -> str:
    return _aside(visit, "version gap", visit.probe.entry("probe.noted", uuid4(), 2))


def _private(visit: Visit) -> str:
    bad = visit.probe.entry("organization.noted", uuid4())
    return _aside(visit, "private topic", bad)


def _two_facts(visit: Visit) -> str:
    bad = visit.probe.entry("probe.noted", uuid4(), note="one")
    state = bad.state[:-1] + ',"note":"other"}'
    return _aside(visit, "duplicate key", bad.model_copy(update={"state": state}))


def _signed_all(visit: Visit) -> str:
    if visit.counter.faults:
        raise Failed("; ".join(visit.counter.faults)[:400])
    return f"{visit.counter.pulls} pulls, {len(visit.counter.receipts)} receipts"


def _close(visit: Visit) -> str:
    lane = visit.lane
    if not lane.version:
        raise NotRun("no good batch was accepted")
    end = visit.probe.entry("unit.closed", lane.unit, lane.version + 1, reason="检查结束 over")
    batch = lane.batch(end)
    return lane.acknowledged(batch, visit.counter.serve(batch.signed(visit.probe.keys), ANSWER_S))


SENDING = (
    Check(
        "pulls",
        "等候来取 waiting to be pulled from",
        "已签名的取件 a signed pull",
        _pulls,
        opens=True,
    ),
    Check("heartbeat", "心跳 a heartbeat", "再来取 asked again", _heartbeat),
    Check("good", "一批记录 a good batch", RECORDED, _good),
    Check(
        "duplicate",
        "回单丢失后重发 sent again, its receipt lost",
        "相同的回单 the same receipt",
        _duplicate,
    ),
    Check("gap", "跳号的批 numbers left out", AGAIN, _gap),
    Check("batch-altered", "签名后改动的批 altered after signing", AGAIN, _altered),
    Check("batch-forged", "他人密钥签名的批 signed with another key", AGAIN, _other_key),
    Check("wrong-sender", "冒名的批 in another's name", AGAIN, _wrong_sender),
    Check("wrong-receiver", "发给他人的批 to another", AGAIN, _wrong_receiver),
    Check("wrong-root", "根值不符的批 another root", AGAIN, _wrong_root),
    Check("rewritten", "改写已确认的内容 an acknowledged past, rewritten", AGAIN, _rewritten),
    Check("batch-oversize", "超过 256 KiB 的批 a batch too large", AGAIN, _oversize),
    Check("malformed", "残缺的 JSON broken JSON", AGAIN, _malformed),
    Check("duplicate-key", "重复键的 JSON a key twice", AGAIN, _duplicate_key),
    Check("deep", "嵌套过深的 JSON nested too deeply", AGAIN, _deep),
    Check("old-envelope", "旧版信封 an envelope of an old version", AGAIN, _old_envelope),
    Check("unknown-field", "新版字段 a field of a newer version", RECORDED, _unknown_field),
    Check("unknown-topic", "新版记录种类 a topic of a newer version", RECORDED, _unknown_topic),
    Check("newer-schema", "新版格式 a schema of a newer version", RECORDED, _newer_schema),
    Check("older-schema", "最早的格式 the oldest schema", RECORDED, _older_schema),
    Check("other-keeper", "他人保管的记录 kept by another", ASIDE, _other_keeper),
    Check("other-author", "以他人名义 authored in another's name", ASIDE, _other_author),
    Check("version-gap", "版本跳号 a version left out", ASIDE, _version_gap),
    Check("private-topic", "组织自身的记录 an organization's own topic", ASIDE, _private),
    Check("state-duplicate-key", "记录内重复键 a key twice in a fact", ASIDE, _two_facts),
    Check("closed", "结束 the end of the probe's unit", RECORDED, _close),
    Check(
        "signed-all", "其间的请求和回单 all it asked and answered", "均已签名 signed", _signed_all
    ),
)
"""What the node is given to record, and how it takes it."""
