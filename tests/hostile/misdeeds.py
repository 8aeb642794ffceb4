"""劣迹: each with its name, what is sent, and the code under which it is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from domain.claim import Claim
from domain.commands import FindMember
from domain.organization import Organization
from domain.outflow import Outflow
from domain.policy import Policy
from sync.envelope import BATCH_BYTES, ENTRIES_MAX, GRANTS_MAX, HEADER_MAX, LaneEntry, Want
from sync.keys import NodeKeys
from tests.hostile.scene import Scene
from tests.support.federation import CHENGDU, NOW, ORIGIN, SHENZHEN
from tests.sync.pen import Pen, receipt, sign

ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of the group in which Ed25519 signs (RFC 8032)."""


class Message(NamedTuple):
    """A whole message that must change nothing."""

    name: str
    wire: Callable[[Scene], bytes]
    code: str


class Part(NamedTuple):
    """Entries of which the last must be set aside."""

    name: str
    entries: Callable[[Scene], list[LaneEntry]]
    code: str


def good(scene: Scene) -> bytes:
    """What an honest peer would send."""
    return scene.pen.wire(scene.pen.activity())


def body(scene: Scene, **said: Any) -> bytes:
    """A batch whose JSON says something else, under a good signature."""
    made = scene.pen.message([scene.pen.activity()]).model_dump(mode="json")
    return scene.pen.body(json.dumps({**made, **said}).encode())


def without(scene: Scene, field: str) -> bytes:
    """A batch that leaves a field out."""
    made = scene.pen.message([scene.pen.activity()]).model_dump(mode="json")
    del made[field]
    return scene.pen.body(json.dumps(made).encode())


def entry(scene: Scene, **said: Any) -> bytes:
    """A batch whose entry says something else."""
    made = scene.pen.activity().model_dump(mode="json")
    return body(scene, entries=[{**made, **said}])


def extra(raw: str) -> Callable[[Scene], bytes]:
    """A batch with a field nobody knows, of any JSON."""

    def wire(scene: Scene) -> bytes:
        made = scene.pen.message([scene.pen.activity()]).model_dump_json()
        return scene.pen.body((made[:-1] + f',"more":{raw}}}').encode("utf-8", "surrogatepass"))

    return wire


def header(change: Callable[[bytes], bytes]) -> Callable[[Scene], bytes]:
    """A good batch with a changed header."""

    def wire(scene: Scene) -> bytes:
        first, _, rest = good(scene).partition(b"\n")
        return change(first) + b"\n" + rest

    return wire


def _flipped(scene: Scene) -> bytes:
    wire = good(scene)
    return wire[:-9] + bytes([wire[-9] ^ 1]) + wire[-8:]


def _malleated(first: bytes) -> bytes:
    """The same signature with its scalar beyond the group's order."""
    name, sender, encoded = first.split(b" ")
    raw = base64.b64decode(encoded)
    scalar = int.from_bytes(raw[32:], "little") + ORDER
    return b" ".join((name, sender, base64.b64encode(raw[:32] + scalar.to_bytes(32, "little"))))


def _another_history(scene: Scene) -> bytes:
    """The first number again, with another content."""
    pen = scene.pen
    return pen.wire(pen.activity(), first=1, before="0" * 64)


def _for_the_third(scene: Scene) -> bytes:
    return Pen(scene.bad, scene.third).wire(scene.pen.activity())


def _other_receiver(scene: Scene) -> bytes:
    return body(scene, receiver="nobody")


def _grant() -> dict[str, Any]:
    return {"key": str(uuid4()), "subject": str(uuid4()), "data_class": "notes", "wrapped": "AA=="}


def _want(scene: Scene) -> bytes:
    return Want(sender=ORIGIN, receiver=CHENGDU, after=0, at=NOW).signed(scene.bad.keys)


def _emptied(scene: Scene) -> bytes:
    made = scene.pen.message([scene.pen.activity(), scene.pen.activity()])
    return made.model_copy(update={"entries": made.entries[:1]}).signed(scene.bad.keys)


def _exchanged(scene: Scene) -> bytes:
    made = scene.pen.message([scene.pen.activity(), scene.pen.activity()])
    return made.model_copy(update={"entries": made.entries[::-1]}).signed(scene.bad.keys)


MESSAGES = (
    Message("nothing at all", lambda _: b"", "malformed"),
    Message("noise", lambda _: bytes(range(256)) * 8, "malformed"),
    Message("one byte too many", lambda _: b"waystation/" + b"x" * BATCH_BYTES, "too-large"),
    Message("a header without end", lambda _: b"waystation/" + b"x" * HEADER_MAX, "malformed"),
    Message("a web page", lambda _: b"<!doctype html>\n<html></html>", "malformed"),
    Message("another protocol", header(lambda h: h.replace(b"waystation", b"wayst")), "malformed"),
    Message("a later version", header(lambda h: h.replace(b"/v1", b"/v2")), "malformed"),
    Message("two spaces", header(lambda h: h.replace(b" ", b"  ", 1)), "malformed"),
    Message("no signature", header(lambda h: h.rsplit(b" ", 1)[0]), "malformed"),
    Message("an empty signature", header(lambda h: h.rsplit(b" ", 1)[0] + b" "), "malformed"),
    Message("half a signature", header(lambda h: h[:-44]), "malformed"),
    Message("a signature that is no base64", header(lambda h: h[:-4] + b"!!!!"), "malformed"),
    Message("a malleated signature", header(_malleated), "forged"),
    Message("a signature of zeros", header(lambda h: h[:-88] + b"A" * 86 + b"=="), "forged"),
    Message(
        "a name beyond ASCII", header(lambda h: h.replace(b"jiu", b"\xe9\x85\x92")), "malformed"
    ),
    Message(
        "a stranger's name", header(lambda h: h.replace(b"jiuquan", b"lanzhou")), "not-enrolled"
    ),
    Message("the third's name", header(lambda h: h.replace(b"jiuquan", b"shenzhen")), "forged"),
    Message("our own name", header(lambda h: h.replace(b"jiuquan", b"chengdu")), "not-enrolled"),
    Message("another key", lambda s: s.pen.wire(keys=NodeKeys.generate()), "forged"),
    Message("one bit", _flipped, "forged"),
    Message("cut short", lambda s: good(s)[:-40], "forged"),
    Message("something behind it", lambda s: good(s) + b" ", "forged"),
    Message(
        "a kind under another's signature", header(lambda h: h.replace(b"batch", b"want")), "forged"
    ),
    Message("a receipt for a batch", lambda s: receipt(s.bad, CHENGDU, 1, "0" * 64), "malformed"),
    Message("a card for a batch", lambda s: s.bad.card(), "malformed"),
    Message("a want for a batch", _want, "malformed"),
    Message("no JSON", lambda s: s.pen.body(b"{"), "malformed"),
    Message("a list", lambda s: s.pen.body(b"[]"), "malformed"),
    Message("null", lambda s: s.pen.body(b"null"), "malformed"),
    Message("nothing, signed", lambda s: s.pen.body(b""), "malformed"),
    Message("a byte order mark", lambda s: s.pen.body(b"\xef\xbb\xbf{}"), "malformed"),
    Message("UTF-16", lambda s: s.pen.body('{"sender":"jiuquan"}'.encode("utf-16")), "malformed"),
    Message("bad UTF-8", lambda s: s.pen.body(b'{"sender":"\xff"}'), "malformed"),
    Message("two values for one name", extra('1,"receiver":"shenzhen"'), "malformed"),
    Message("not a number", extra("NaN"), "malformed"),
    Message("a number without end", extra("1e999"), "malformed"),
    Message("a number nobody holds", extra(str(2**53)), "malformed"),
    Message("a million digits", extra("9" * 100_000), "malformed"),
    Message("half a character", extra('"\\ud800"'), "malformed"),
    Message("thirty-three levels", extra("[" * 33 + "]" * 33), "malformed"),
    Message("fifty thousand levels", extra("[" * 50_000 + "]" * 50_000), "malformed"),
    Message("fifty thousand open levels", extra('{"a":' * 40_000), "malformed"),
    Message("two senders", lambda s: body(s, sender=SHENZHEN), "malformed"),
    Message("no receiver", lambda s: without(s, "receiver"), "malformed"),
    Message("no root", lambda s: without(s, "root"), "malformed"),
    Message("no time", lambda s: without(s, "sent_at"), "malformed"),
    Message("for nobody", _other_receiver, "misaddressed"),
    Message("for the third", _for_the_third, "misaddressed"),
    Message("number zero", lambda s: body(s, first=0), "malformed"),
    Message("a number below zero", lambda s: body(s, first=-1), "malformed"),
    Message("a number as text", lambda s: body(s, first="2"), "malformed"),
    Message("a number as truth", lambda s: body(s, first=True), "malformed"),
    Message("a number with a fraction", lambda s: body(s, first=2.5), "malformed"),
    Message("a head below zero", lambda s: body(s, head=-5), "malformed"),
    Message("a root in capitals", lambda s: body(s, root="A" * 64), "malformed"),
    Message("a short root", lambda s: body(s, root="ab"), "malformed"),
    Message("a time without a zone", lambda s: body(s, sent_at="2026-01-05T00:00:00"), "malformed"),
    Message(
        "a time beyond the calendar", lambda s: body(s, sent_at="9999-12-31T00:00:00Z"), "malformed"
    ),
    Message("entries that are none", lambda s: body(s, entries="all"), "malformed"),
    Message("too many entries", lambda s: body(s, entries=[{}] * (ENTRIES_MAX + 1)), "malformed"),
    Message("too many keys", lambda s: body(s, grants=[_grant()] * (GRANTS_MAX + 1)), "malformed"),
    Message(
        "a key of no class",
        lambda s: body(s, grants=[_grant() | {"data_class": "x"}]),
        "malformed",
    ),
    Message("a version of zero", lambda s: entry(s, version=0), "malformed"),
    Message("a version beyond counting", lambda s: entry(s, version=2**31), "malformed"),
    Message("a stream that is no id", lambda s: entry(s, stream="../../etc/passwd"), "malformed"),
    Message("a topic that names a module", lambda s: entry(s, topic="os:system"), "malformed"),
    Message("a topic without end", lambda s: entry(s, topic="a." + "b" * 100), "malformed"),
    Message("a state as an object", lambda s: entry(s, state={"meta": {}}), "malformed"),
    Message("a state too large", lambda s: entry(s, state="x" * (64 * 1024 + 1)), "malformed"),
    Message("a state too large in bytes", lambda s: entry(s, state="汉" * 30_000), "malformed"),
    Message("a past that is not ours", lambda s: s.pen.wire(before="ab" * 32), "roots-differ"),
    Message(
        "a root of something else",
        lambda s: s.pen.wire(s.pen.activity(), root="ab" * 32),
        "roots-differ",
    ),
    Message("a number that was used", _another_history, "roots-differ"),
    Message("entries taken out", _emptied, "roots-differ"),
    Message("entries exchanged", _exchanged, "roots-differ"),
)


# Entries.


def held(scene: Scene, state: Callable[[str], str]) -> list[LaneEntry]:
    """An activity whose state is written otherwise."""
    made = scene.pen.activity()
    return [made.model_copy(update={"state": state(made.state)})]


def more(raw: str) -> Callable[[Scene], list[LaneEntry]]:
    """An activity with a field nobody knows."""
    return lambda scene: held(scene, lambda state: state[:-1] + f',"more":{raw}}}')


def swapped(old: str, new: str) -> Callable[[Scene], list[LaneEntry]]:
    """An activity that says something else."""

    def entries(scene: Scene) -> list[LaneEntry]:
        [made] = held(scene, lambda state: state.replace(old, new))
        assert new in made.state
        return [made]

    return entries


def absence(*steps: tuple[str, dict[str, Any]]) -> Callable[[Scene], list[LaneEntry]]:
    """An absence of the peer's with some steps; the last is the misdeed."""

    def entries(scene: Scene) -> list[LaneEntry]:
        opened = scene.outflow(uuid4())
        rest = [scene.step(opened, n, name, **said) for n, (name, said) in enumerate(steps, 2)]
        return [opened, *rest]

    return entries


def about(outflow: Callable[[Scene], UUID], topic: str, **said: Any) -> Callable[[Scene], Any]:
    """A fact about an absence in which the peer takes no part."""

    def entries(scene: Scene) -> list[LaneEntry]:
        id_ = outflow(scene)
        known = scene.victim.ledger.find(Outflow, id_)
        subject = known.member if known else uuid4()
        stream = said.get("stream", uuid4())
        body = {name: value for name, value in said.items() if name != "stream"}
        return [scene.pen.entry(topic, stream, subject=subject, outflow=str(id_), **body)]

    return entries


_MET = {"method": "电话", "by": "王", "reached": True}
_OFFER = {"offer": 1, "host": CHENGDU, "until": "2026-06-01T00:00:00Z"}
_ELSEWHERE = {**_OFFER, "host": SHENZHEN}
_YES = {"offer": 1, "host": CHENGDU, "since": "2025-04-01", "acceptance": "ab" * 32}


def _goes_on(stream: Callable[[Scene], UUID]) -> Callable[[Scene], list[LaneEntry]]:
    def entries(scene: Scene) -> list[LaneEntry]:
        version = len(scene.victim.ledger.stream(stream(scene))) + 1
        said = {"reason": "误登"}
        return [scene.pen.entry("activity.cancelled", stream(scene), version, **said)]

    return entries


def _claim(topic: str) -> Callable[[Scene], list[LaneEntry]]:
    def entries(scene: Scene) -> list[LaneEntry]:
        found = scene.victim.execute(FindMember(origin=SHENZHEN, name="王五")).id
        said = {"inflow": str(found), "outflow": str(uuid4()), "reason": "x"}
        return [scene.pen.entry(topic, Claim.id_of(found), **said)]

    return entries


def _of_our_member(scene: Scene) -> list[LaneEntry]:
    return [scene.outflow(scene.member, Outflow.id_of(scene.member, 100))]


def _their_contact(scene: Scene) -> tuple[LaneEntry, UUID]:
    opened = scene.outflow(uuid4())
    return opened, scene.subject(opened)


def _of_another_person(scene: Scene) -> list[LaneEntry]:
    opened, _ = _their_contact(scene)
    return [opened, scene.pen.contact(opened.stream, subject=uuid4())]


def _sealed(value: str) -> Callable[[Scene], list[LaneEntry]]:
    def entries(scene: Scene) -> list[LaneEntry]:
        opened, subject = _their_contact(scene)
        return [opened, scene.pen.contact(opened.stream, subject=subject, condition=value)]

    return entries


def _sealed_with_our_key(scene: Scene) -> list[LaneEntry]:
    """Under the id of a key the victim holds: it would stop whoever opens it."""
    key = scene.victim.keyring.ours(scene.member, "contact")  # type: ignore[arg-type]
    return _sealed(f"A256GCM-HS256.{key.id.hex}.AAAAAAAAAAAAAAAA.AAAA.AAAA")(scene)


def _two_kinds(scene: Scene) -> list[LaneEntry]:
    first = scene.pen.activity()
    member = uuid4()
    said = {"member": str(member), "left_on": "2025-03-01"}
    return [first, scene.pen.entry("outflow.registered", first.stream, 2, **said)]


def _two_persons(scene: Scene) -> list[LaneEntry]:
    opened = scene.outflow(uuid4())
    said = {"returned_on": "2025-05-01"}
    return [opened, scene.pen.entry("outflow.returned", opened.stream, 2, subject=uuid4(), **said)]


def _founded(scene: Scene) -> LaneEntry:
    said = {"code": "ghost", "name": "ghost", "kind": "station"}
    return scene.pen.entry("organization.founded", **said)


def _future_private(scene: Scene) -> LaneEntry:
    return scene.pen.entry("organization.keys_given_away", more=1)


def _gap(scene: Scene) -> list[LaneEntry]:
    first = scene.pen.activity()
    return [first, scene.pen.activity(3, first.stream)]


PARTS = (
    Part("another keeper", lambda s: [s.pen.activity(keeper=SHENZHEN)], "not-the-keeper"),
    Part("us as the keeper", lambda s: [s.pen.activity(keeper=CHENGDU)], "not-the-keeper"),
    Part("our activity goes on", _goes_on(lambda s: s.activity), "not-the-keeper"),
    Part("the third's absence goes on", _goes_on(lambda s: s.theirs), "not-the-keeper"),
    Part("in our name", lambda s: [s.pen.activity(author=CHENGDU)], "not-their-topic"),
    Part("in the third's name", lambda s: [s.pen.activity(author=SHENZHEN)], "not-their-topic"),
    Part("an organization's own stream", lambda s: [_founded(s)], "not-their-topic"),
    Part("a topic of ours to come", lambda s: [_future_private(s)], "not-their-topic"),
    Part(
        "our policy's place",
        lambda s: [s.pen.activity(stream=Policy.id_of(CHENGDU))],
        "not-their-topic",
    ),
    Part(
        "our own place",
        lambda s: [s.pen.activity(stream=Organization.id_of(CHENGDU))],
        "not-the-keeper",
    ),
    Part("a second version first", lambda s: [s.pen.activity(2)], "version-gap"),
    Part("a version left out", _gap, "version-gap"),
    Part("a version again", lambda s: [s.pen.activity(1, s.own.stream)], "version-gap"),
    Part(
        "opening with an end",
        lambda s: [s.pen.entry("activity.cancelled", reason="x")],
        "does-not-fit",
    ),
    Part("two kinds in one stream", _two_kinds, "does-not-fit"),
    Part("two persons in one stream", _two_persons, "does-not-fit"),
    Part("our member sent away", _of_our_member, "not-their-topic"),
    Part(
        "an absence in another's place", lambda s: [s.outflow(uuid4(), uuid4())], "not-their-topic"
    ),
    Part("a claim recognized for another", _claim("claim.recognized"), "not-their-topic"),
    Part("a claim refused for another", _claim("claim.refused"), "not-their-topic"),
    Part(
        "a contact in our absence",
        about(lambda s: s.absence, "contact.made", **_MET),
        "not-their-topic",
    ),
    Part(
        "a contact in the third's",
        about(lambda s: s.theirs, "contact.made", **_MET),
        "not-their-topic",
    ),
    Part("a contact in no absence", about(lambda _: uuid4(), "contact.made", **_MET), "unknown"),
    Part("a contact with another person", _of_another_person, "not-their-topic"),
    Part(
        "an arrival in another's place",
        about(lambda s: s.theirs, "inflow.reported", via="qr"),
        "not-their-topic",
    ),
    Part(
        "attendance in another's place",
        about(lambda s: s.theirs, "attendance.marked", activity=str(uuid4()), mark="present"),
        "not-their-topic",
    ),
    Part("we accepted, it says", absence(("offered", _OFFER), ("confirmed", _YES)), "does-not-fit"),
    Part("confirmed without an offer", absence(("confirmed", _YES)), "does-not-fit"),
    Part(
        "confirmed for another host",
        absence(("offered", _ELSEWHERE), ("confirmed", _YES)),
        "does-not-fit",
    ),
    Part(
        "two offers at once",
        absence(("offered", _OFFER), ("offered", {**_OFFER, "offer": 2})),
        "does-not-fit",
    ),
    Part("the fifth offer first", absence(("offered", {**_OFFER, "offer": 5})), "does-not-fit"),
    Part(
        "recalled without an offer",
        absence(("recalled", {"offer": 1, "reason": "x"})),
        "does-not-fit",
    ),
    Part("lapsed without an offer", absence(("lapsed", {"offer": 1})), "does-not-fit"),
    Part(
        "moved on while an offer waits",
        absence(("offered", _OFFER), ("relocated", {"moved_on": "2025-05-01", "destination": "x"})),
        "does-not-fit",
    ),
    Part("an offer of a size", absence(("offered", {**_OFFER, "offer": 2**31})), "malformed"),
    Part("a state that is empty", lambda s: held(s, lambda _: ""), "malformed"),
    Part("a state that is a list", lambda s: held(s, lambda _: "[]"), "malformed"),
    Part("a state without meta", lambda s: held(s, lambda _: "{}"), "malformed"),
    Part(
        "a state with meta behind", lambda s: held(s, lambda t: '{"kind":1,' + t[1:]), "malformed"
    ),
    Part("a state twice", lambda s: held(s, lambda t: t + t), "malformed"),
    Part("two values for one name, inside", more('1,"title":"x"'), "malformed"),
    Part(
        "another place inside",
        lambda s: held(s, lambda t: t[:-1] + f',"originator_id":"{uuid4()}"}}'),
        "malformed",
    ),
    Part("a value of no kind", swapped("theme_day", "party"), "malformed"),
    Part("no person's name", swapped('"officer"', "null"), "malformed"),
    Part("before all calendars", swapped("2026-01-05T", "0001-01-01T"), "malformed"),
    Part("after all calendars", swapped("2026-01-05T", "9999-12-31T"), "malformed"),
    Part("no zone", swapped('+00:00","occurred', '","occurred'), "malformed"),
    Part("a day that is none", swapped("2026-01-04", "2026-02-30"), "malformed"),
    Part("NUL inside", more('"\\u0000"'), "malformed"),
    Part("half a character inside", more('"\\udfff"'), "malformed"),
    Part("not a number inside", more("-Infinity"), "malformed"),
    Part("levels inside", more("[" * 60 + "]" * 60), "malformed"),
    Part("digits inside", more("1" * 40_000), "malformed"),
    Part("in the clear", _sealed("身体健康"), "malformed"),
    Part("sealed by nobody", _sealed("A256GCM-HS256.x.y.z.w"), "malformed"),
    Part("sealed with our key", _sealed_with_our_key, "malformed"),
)


# Answers to what the victim has sent.


class Answer(NamedTuple):
    """A receipt or a want that must change nothing."""

    name: str
    wire: Callable[[Scene], bytes]
    code: str


def told(scene: Scene, **said: Any) -> bytes:
    """A receipt whose JSON says something else."""
    made = json.loads(receipt(scene.bad, CHENGDU, 0, "0" * 64).partition(b"\n")[2])
    return sign(scene.bad.keys, ORIGIN, json.dumps({**made, **said}).encode(), "receipt")


ANSWERS = (
    Answer(
        "a receipt for what was never sent",
        lambda s: receipt(s.bad, CHENGDU, 7, "0" * 64),
        "roots-differ",
    ),
    Answer(
        "a receipt far in the future",
        lambda s: receipt(s.bad, CHENGDU, 2**53 - 1, "0" * 64),
        "roots-differ",
    ),
    Answer(
        "a receipt of another history",
        lambda s: receipt(s.bad, CHENGDU, 0, "ab" * 32),
        "roots-differ",
    ),
    Answer(
        "a receipt for the third", lambda s: receipt(s.bad, SHENZHEN, 0, "0" * 64), "misaddressed"
    ),
    Answer(
        "a receipt in the third's name",
        lambda s: sign(s.bad.keys, SHENZHEN, b"{}", "receipt"),
        "forged",
    ),
    Answer(
        "a receipt of a stranger",
        lambda s: sign(s.bad.keys, "lanzhou", b"{}", "receipt"),
        "not-enrolled",
    ),
    Answer("a batch for a receipt", good, "malformed"),
    Answer(
        "a receipt that is no JSON",
        lambda s: sign(s.bad.keys, ORIGIN, b"}", "receipt"),
        "malformed",
    ),
    Answer("a receipt below zero", lambda s: told(s, number=-1), "malformed"),
    Answer("a receipt as text", lambda s: told(s, number="0"), "malformed"),
    Answer("a receipt without a time", lambda s: told(s, at=None), "malformed"),
    Answer("a reason without end", lambda s: told(s, refused="x" * 301), "malformed"),
    Answer(
        "a receipt with two numbers",
        lambda s: sign(s.bad.keys, ORIGIN, b'{"number":0,"number":1}', "receipt"),
        "malformed",
    ),
)
