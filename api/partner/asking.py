"""请求检查: what a node must answer a peer, and what it must refuse to anybody."""

from __future__ import annotations

from datetime import timedelta
from time import monotonic, sleep

from api.partner.caller import Answer
from api.partner.probe import NOBODY
from api.partner.report import Failed
from api.partner.script import Check, Visit
from domain.values import utc_now
from sync.envelope import BATCH_BYTES, NO_ROOT, Batch, Sealed
from sync.errors import LaneFault
from sync.keys import NodeKeys
from sync.signed_http import WINDOW

ENROL_S = 600.0
"""How long the probe waits to be enrolled."""

CLOCK_S = 60.0
"""How far the two clocks may lie apart; five minutes stop every lane."""

BEYOND = timedelta(seconds=30)
NEAR = timedelta(seconds=120)
FAR = 1_000
"""Numbers beyond the head of a lane."""

OK, TAKEN, FORBIDDEN, TOO_LARGE = 200, 204, 403, 413
ANSWERED = "照常应答 answered, 200"
REFUSED = "拒绝 refused, 403"
SHUT = "拒绝 refused, 403 or 413"
ACCEPTED = "收下 taken, 204"


def _must_be(answer: Answer, *statuses: int) -> str:
    if answer.status not in statuses:
        raise Failed(answer.told)
    return answer.told


def _batch(visit: Visit, answer: Answer) -> Batch:
    """The batch in an answer, if the node has signed it for us."""
    _must_be(answer, OK)
    try:
        batch = Sealed(answer.content).open(Batch, visit.node.verify_key)
    except LaneFault as fault:
        raise Failed(f"200, but no batch of the node: {fault}") from None
    if (batch.sender, batch.receiver) != (visit.node.sender, visit.probe.code):
        raise Failed(f"200, but a batch from {batch.sender} to {batch.receiver}")
    return batch


def _card(visit: Visit) -> str:
    return f"{visit.node.sender}, fingerprint {visit.node.fingerprint}"


def _health(visit: Visit) -> str:
    return _must_be(visit.caller.send("GET", "/health"), OK)


def _stranger(visit: Visit) -> str:
    signer = visit.probe.signer(org=NOBODY, keys=visit.probe.stranger)
    path = visit.caller.path(lane=NOBODY)
    return _must_be(visit.caller.pull(path, signer), FORBIDDEN)


def _enrolled(visit: Visit) -> str:
    deadline = monotonic() + ENROL_S
    while (answer := visit.caller.pull()).status != OK and monotonic() < deadline:
        sleep(1)
    batch = _batch(visit, answer)
    return f"200, a batch of {visit.node.sender}, head {batch.head}"


def _clock(visit: Visit) -> str:
    before = utc_now()
    batch = _batch(visit, visit.caller.pull())
    visit.probe.skew = batch.sent_at - before
    seconds = visit.probe.skew.total_seconds()
    if abs(seconds) > CLOCK_S:
        raise Failed(f"{seconds:+.1f} s from ours")
    return f"{seconds:+.1f} s from ours"


def _unsigned(visit: Visit) -> str:
    return _must_be(visit.caller.send("GET", visit.caller.path()), FORBIDDEN)


def _altered_request(visit: Visit) -> str:
    headers = visit.caller.signed(visit.caller.path())
    return _must_be(visit.caller.send("GET", visit.caller.path(after=FAR), headers), FORBIDDEN)


def _other_key(visit: Visit) -> str:
    signer = visit.probe.signer(keys=visit.probe.stranger)
    return _must_be(visit.caller.pull(signer=signer), FORBIDDEN)


def _replay(visit: Visit) -> str:
    path = visit.caller.path()
    headers = visit.caller.signed(path)
    _must_be(visit.caller.send("GET", path, headers), OK)
    return _must_be(visit.caller.send("GET", path, headers), FORBIDDEN)


def _off(visit: Visit, off: timedelta, status: int) -> str:
    return _must_be(visit.caller.pull(signer=visit.probe.signer(off=off)), status)


def _stale(visit: Visit) -> str:
    return _off(visit, -WINDOW - BEYOND, FORBIDDEN)


def _future(visit: Visit) -> str:
    return _off(visit, WINDOW + BEYOND, FORBIDDEN)


def _near(visit: Visit) -> str:
    return f"{_off(visit, NEAR, OK)}, {_off(visit, -NEAR, OK)}"


def _addressed_elsewhere(visit: Visit) -> str:
    return _must_be(visit.caller.pull(visit.caller.path(of=NOBODY)), FORBIDDEN)


def _lane_of_another(visit: Visit) -> str:
    return _must_be(visit.caller.pull(visit.caller.path(lane=NOBODY)), FORBIDDEN)


def _beyond(visit: Visit) -> str:
    batch = _batch(visit, visit.caller.pull(visit.caller.path(after=FAR)))
    if batch.entries or batch.head >= FAR:
        raise Failed(f"{len(batch.entries)} entries, head {batch.head}")
    return f"no entries, head {batch.head}"


def _receipt(visit: Visit) -> str:
    return _hand_in(visit, TAKEN)


def _hand_in(
    visit: Visit,
    *statuses: int,
    number: int = 0,
    root: str = NO_ROOT,
    receiver: str = "",
    keys: NodeKeys | None = None,
) -> str:
    message = visit.probe.receipt(number, root, receiver=receiver or visit.node.sender)
    wire = message.signed(keys or visit.probe.keys)
    return _must_be(visit.caller.hand_in(wire), *statuses)


def _wrong_root(visit: Visit) -> str:
    return _hand_in(visit, FORBIDDEN, root="1" * 64)


def _receipt_beyond(visit: Visit) -> str:
    return _hand_in(visit, FORBIDDEN, number=FAR)


def _forged_receipt(visit: Visit) -> str:
    return _hand_in(visit, FORBIDDEN, keys=visit.probe.stranger)


def _receipt_elsewhere(visit: Visit) -> str:
    return _hand_in(visit, FORBIDDEN, receiver=NOBODY)


def _altered_body(visit: Visit) -> str:
    wire = visit.probe.receipt(0, NO_ROOT).signed(visit.probe.keys)
    return _must_be(visit.caller.hand_in(wire, signed=b"something else"), FORBIDDEN)


def _oversize(visit: Visit) -> str:
    # Good in all but its size: a field from a newer peer would be passed over.
    padded = visit.lane.padded(visit.probe.receipt(0, NO_ROOT), BATCH_BYTES)
    answer = visit.caller.hand_in(padded)
    # A node may close the connection while it is being sent too much.
    return _must_be(answer, FORBIDDEN, TOO_LARGE, 0)


def _no_message(visit: Visit) -> str:
    return _must_be(visit.caller.hand_in(b"hello"), FORBIDDEN)


def _want(visit: Visit) -> str:
    return _must_be(visit.caller.hand_in(visit.probe.want(0).signed(visit.probe.keys)), TAKEN)


BEFORE = (
    Check("card", "取名片 the card", "由其自身密钥签名 signed by its own key", _card),
    Check("health", "取健康状况 the health page", ANSWERED, _health),
    Check("stranger", "未登记组织的请求 a request of a stranger", REFUSED, _stranger),
    Check(
        "signed", "已签名的取件 a signed pull", "已签名的批 a signed batch", _enrolled, opens=True
    ),
)
"""What anybody may ask, until the probe is enrolled."""

ASKING = (
    Check("clock", "对时 the time on a batch", f"相差不超过 within {CLOCK_S:g} s", _clock),
    Check("unsigned", "未签名 without a signature", REFUSED, _unsigned),
    Check("altered-request", "签名后改动 altered after signing", REFUSED, _altered_request),
    Check("other-key", "他人密钥签名 signed with another key", REFUSED, _other_key),
    Check("replay", "重放同一请求 the same request again", REFUSED, _replay),
    Check("stale", "过期的请求 a request 330 s old", REFUSED, _stale),
    Check("future", "来自未来的请求 a request 330 s ahead", REFUSED, _future),
    Check("near-clock", "时钟相差 120 s clocks 120 s apart", ANSWERED, _near),
    Check("elsewhere", "发给他人的请求 meant for another node", REFUSED, _addressed_elsewhere),
    Check("another-lane", "取他人的通道 the lane of another", REFUSED, _lane_of_another),
    Check("beyond-head", "从头部以外取件 from beyond the head", "空批 an empty batch", _beyond),
    Check("receipt", "正确的回单 a right receipt", ACCEPTED, _receipt),
    Check("receipt-root", "根值不符的回单 a receipt of another root", REFUSED, _wrong_root),
    Check("receipt-beyond", "超出头部的回单 a receipt beyond the head", REFUSED, _receipt_beyond),
    Check("receipt-forged", "伪造的回单 a receipt of another key", REFUSED, _forged_receipt),
    Check("receipt-elsewhere", "给他人的回单 a receipt to another", REFUSED, _receipt_elsewhere),
    Check("altered-body", "内容与摘要不符 another body than signed", REFUSED, _altered_body),
    Check("oversize", "超过 256 KiB 的回单 a receipt too large", SHUT, _oversize),
    Check("no-message", "不是信件 what is no message", REFUSED, _no_message),
    Check("want", "补发请求 a want", ACCEPTED, _want),
)
"""What an enrolled peer may ask, and what it must be refused."""
