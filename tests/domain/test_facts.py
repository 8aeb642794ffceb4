"""事实: what has been stored once is read for ever, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.persistence import StoredEvent, Tracking

from domain import records, upcasts
from domain.absence import Absence
from domain.aggregate import Aggregate, Fact
from domain.catalogue import AGGREGATES, FACTS, PRIVATE
from domain.passage import Passage
from domain.records import (
    PERSONAL,
    STATE_MAX,
    Unreadable,
    audience,
    decode,
    digest,
    encode,
    head,
    key_ids,
    leaf,
    open_field,
)
from domain.sealing import Sealed
from tests.support.golden import (
    EXAMPLES,
    FixedKeyring,
    encode_fixed,
    example,
    folder,
    golden,
)
from tests.support.story import CHENGDU, Story, fact, name

FILES = sorted(folder().glob("*.json"))


def stored(file: Path) -> tuple[StoredEvent, dict[str, Any]]:
    said = json.loads(file.read_text())
    state = said["state"].encode()
    return StoredEvent(UUID(said["stream"]), said["version"], said["topic"], state), said


def opened(fact_: Fact) -> dict[str, Any]:
    """The fields of a fact, its seals opened with the fixed keys."""
    keyring = FixedKeyring()
    assert fact_.meta.subject is not None
    for _, data_class in PERSONAL[fact_.TOPIC]:
        keyring.ours(fact_.meta.subject, data_class)
    sealed = {field for field, _ in PERSONAL[fact_.TOPIC]}
    return {
        field: open_field(fact_, field, keyring) if field in sealed else getattr(fact_, field)
        for field in type(fact_).model_fields
        if field not in Fact.model_fields
    }


def record_of(topic: str, state: str | bytes, version: int = 7) -> StoredEvent:
    raw = state.encode() if isinstance(state, str) else state
    return StoredEvent(name(topic), version, topic, raw)


def altered(topic: str, **changes: Any) -> StoredEvent:
    """The example of a topic with some of its state changed."""
    body = json.loads(golden(topic)["state"])
    for path, value in changes.items():
        *steps, last = path.split("__")
        part = body
        for step in steps:
            part = part[step]
        part[last] = value
    return record_of(topic, json.dumps(body, ensure_ascii=False, separators=(",", ":")))


# Golden files.


@pytest.mark.parametrize("topic", FACTS)
def test_every_stored_name_has_its_example(topic: str) -> None:
    """`python -m tests.support.golden` adds what is missing."""
    assert (folder() / f"{topic}.json").exists()


@pytest.mark.parametrize("topic", FACTS)
def test_an_example_gives_every_field(topic: str) -> None:
    given = {
        field
        for file in FILES
        if file.name.startswith(f"{topic}.")
        for field in json.loads(stored(file)[1]["state"])
    }

    assert given - {"meta"} == set(FACTS[topic].model_fields) - set(Fact.model_fields)


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_what_is_stored_is_read(file: Path) -> None:
    record, _ = stored(file)

    read = decode(record)

    assert read is not None
    assert opened(read) == {**opened(read), **EXAMPLES[record.topic]}
    assert (read.originator_id, read.originator_version) == (
        record.originator_id,
        record.originator_version,
    )


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_its_digest_is_the_same_everywhere(file: Path) -> None:
    record, said = stored(file)

    assert digest(record) == said["digest"]


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_the_same_fact_gives_the_same_bytes(file: Path) -> None:
    record, _ = stored(file)
    read = decode(record)
    assert read is not None
    said = {n: v for n, v in opened(read).items() if v is not None}

    again = encode_fixed(example(record.topic, said).model_copy(update={"meta": read.meta})).record

    assert again == record


@pytest.mark.parametrize("topic", FACTS)
def test_any_fact_may_be_the_first_that_is_heard(topic: str) -> None:
    """A fact is applied, never judged: of a stream's history a node may know only this."""
    read = decode(encode_fixed(example(topic)).record)
    assert read is not None

    aggregate = read.mutate(None)

    assert type(aggregate) is FACTS[topic].AGGREGATE
    assert (aggregate.version, aggregate.audience) == (7, (CHENGDU,))


# The catalogue.


def test_the_catalogue_is_closed_over_every_aggregate() -> None:
    kinds = {kind for kind in descendants(Aggregate) if kind.__module__.startswith("domain.")}

    assert kinds - set(AGGREGATES) == {Absence, Passage}  # The states their facts leave.


def descendants(kind: type[Aggregate]) -> set[type[Aggregate]]:
    return {d for sub in kind.__subclasses__() for d in (sub, *descendants(sub))}


@pytest.mark.parametrize("topic", FACTS)
def test_a_stored_name_is_noun_dot_participle(topic: str) -> None:
    noun, participle = topic.split(".")

    assert noun == FACTS[topic].AGGREGATE.__name__.lower()
    assert participle.replace("_", "").isalpha()


def test_what_concerns_the_node_itself_never_travels() -> None:
    own = {f"organization.{each}" for each in ("founded", "peer_enrolled", "peer_rekeyed")}
    assert own | {"access.recorded", "access.forgotten"} == PRIVATE


# From elsewhere, from later.


def test_an_unknown_topic_is_passed_over() -> None:
    record = altered("member.left")

    assert decode(StoredEvent(name("x"), 1, "member.canonized", record.state)) is None
    assert key_ids(StoredEvent(name("x"), 1, "member.canonized", record.state)) == []
    assert len(digest(record)) == 64


@pytest.mark.parametrize("state", ["", "[]", "{}", '{"meta":1}', '{"meta":{}}', "\x00"])
def test_an_unknown_topic_has_a_meta_all_the_same(state: str) -> None:
    with pytest.raises(Unreadable):
        decode(record_of("member.canonized", state))


@pytest.mark.parametrize(
    "place",
    ["surprise", "meta__surprise", "meta__author__surprise", "meta__source__surprise"],
)
def test_a_field_from_a_newer_peer_is_passed_over(place: str) -> None:
    assert decode(altered("member.left", **{place: {"a": 1}})) is not None


def test_a_term_from_a_newer_peer_is_passed_over() -> None:
    assert decode(altered("policy.adopted", terms__surprise=1)) is not None


def test_what_only_a_newer_version_can_read_is_passed_over() -> None:
    changed = {"outflow": {"of": "another shape"}}

    assert decode(altered("member.left", meta__schema_version=2, **changed)) is None
    with pytest.raises(Unreadable):
        decode(altered("member.left", **changed))


@pytest.mark.parametrize(
    "state",
    ["", "[]", "{}", "null", '{"meta":1}', '{"outflow":1,"meta":{}}', "{", '{"meta":{}', "\x00"],
)
def test_a_state_that_does_not_fit_its_topic_is_unreadable(state: str) -> None:
    with pytest.raises(Unreadable):
        decode(record_of("member.left", state))


def test_a_second_address_inside_the_state_is_refused() -> None:
    for lie in ({"originator_id": str(name("other"))}, {"originator_version": 1}):
        with pytest.raises(Unreadable, match="another place"):
            decode(altered("member.left", **lie))


@pytest.mark.parametrize(
    "change",
    [
        {"meta__recorded_at": "2026-01-05T01:00:00"},
        {"meta__keeper": "../etc"},
        {"meta__author__person": "a\x00b"},
        {"meta__schema_version": 0},
        {"meta__occurred__on": "0000-00-00"},
    ],
    ids=str,
)
def test_a_meta_that_would_stop_a_reader_is_unreadable(change: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        decode(altered("member.left", **change))


@pytest.mark.parametrize("plain", ["张三", "", "a.b", "A256GCM-HS256.zz.a.b.c"])
def test_a_personal_field_in_the_clear_is_unreadable(plain: str) -> None:
    with pytest.raises(Unreadable):
        decode(altered("member.phone_recorded", phone=plain))


def test_a_fact_is_small() -> None:
    big = example("member.phone_recorded", {"phone": "1" * STATE_MAX})

    with pytest.raises(Unreadable, match="at most"):
        encode(big, FixedKeyring())


def test_a_personal_field_is_never_written_unsealed() -> None:
    with pytest.raises(ValueError, match="never written unsealed"):
        example("member.phone_recorded").model_dump_json()


def test_the_audience_is_read_without_knowing_the_topic() -> None:
    record = altered("member.left")

    assert audience(record) == (CHENGDU,)
    assert head(altered("inflow.reported")).outflow == str(name("outflow"))


def test_a_leaf_has_one_framing() -> None:
    """Topic and state cannot borrow from one another."""
    one = StoredEvent(name("x"), 1, "a.b", b"c{}")
    other = StoredEvent(name("x"), 1, "a.bc", b"{}")

    assert leaf(one) != leaf(other)


# Upcasts.


class Moved(Fact):
    """A fact whose second version says `city` where the first said `town`."""

    TOPIC = "test.moved"
    VERSION = 2
    city: str

    def apply(self, aggregate: Any) -> None:
        aggregate.audience = (self.city,)


def test_an_old_fact_is_read_as_todays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FACTS, "test.moved", Moved)
    monkeypatch.setitem(
        upcasts.UPCASTS, ("test.moved", 1), lambda old: {"meta": old["meta"], "city": old["town"]}
    )
    meta = json.loads(golden("member.left")["state"])["meta"]
    old = record_of("test.moved", json.dumps({"meta": meta, "town": "成都"}).replace(": ", ":"))
    new_meta = {**meta, "schema_version": 2}
    new = record_of("test.moved", json.dumps({"meta": new_meta, "city": "重庆"}))

    read, newer = decode(old), decode(new)

    assert isinstance(read, Moved)
    assert isinstance(newer, Moved)
    assert (read.city, newer.city) == ("成都", "重庆")
    assert read.meta.schema_version == 1


def test_upcasts_follow_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Moved, "VERSION", 3)
    monkeypatch.setitem(FACTS, "test.moved", Moved)
    steps = upcasts.UPCASTS
    monkeypatch.setitem(steps, ("test.moved", 1), lambda old: {**old, "place": old["town"]})
    monkeypatch.setitem(
        steps, ("test.moved", 2), lambda old: {"meta": old["meta"], "city": old["place"]}
    )
    meta = json.loads(golden("member.left")["state"])["meta"]

    read = decode(record_of("test.moved", json.dumps({"meta": meta, "town": "成都"})))

    assert isinstance(read, Moved)
    assert read.city == "成都"


def test_every_version_of_a_fact_can_be_read() -> None:
    needed = {
        (topic, version) for topic, kind in FACTS.items() for version in range(1, kind.VERSION)
    }

    assert set(upcasts.UPCASTS) == needed


# In the ledger.


def test_what_only_a_newer_version_can_read_is_kept_and_counted(origin: Story) -> None:
    stream = origin.given(name("unit"), fact(FACTS["unit.opened"], name="支部", kind="branch"))
    later = StoredEvent(stream, 2, "unit.blessed", origin.ledger.stream(stream)[0].state)
    origin.ledger.replicate([later], Tracking("test", 1))

    unit = origin.ledger.look_up(Aggregate, stream)

    assert unit.version == 2
    assert origin.ledger.stream(stream)[1] == later
    assert origin.ledger.since(0)[-1].fact is None
    assert len(origin.ledger.facts(stream)) == 1


def test_no_personal_value_is_in_the_table(origin: Story) -> None:
    canary = "金丝雀"
    for topic, fields in EXAMPLES.items():
        personal = {field for field, _ in PERSONAL[topic]}
        said = {n: canary if n in personal else v for n, v in fields.items()}
        origin.given(name(topic), fact(FACTS[topic], **said), about=name("canary"))

    states = b"".join(entry.record.state for entry in origin.ledger.since(0))

    assert len(states) > 10_000
    assert canary.encode() not in states
    assert b"\\u" not in states


def test_sealed_values_are_marked_as_such() -> None:
    read = decode(encode_fixed(example("member.registered")).record)

    assert read is not None
    for field, _ in records.PERSONAL["member.registered"]:
        assert isinstance(getattr(read, field), Sealed)
