"""择要出示: what is hidden stays hidden, in a file that still proves that nothing was removed."""

from __future__ import annotations

import base64
import json
import random
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.exceptions import InvalidTag

from api.disclosure import ChosenTwice, NotSealed
from api.passport import Asking, OpenedForNobody
from api.routes.passport import FIELDS_MAX
from api.storage.server import EmbeddedServer
from domain import suite
from domain.contact import Contact
from domain.sealing import DataKey, Place, Sealed, Unopenable, unseal
from domain.values import DataClass
from sync.keys import b64
from sync.verifier import passport, story
from sync.verifier.defect import Defect
from sync.verifier.opened import is_sealed
from sync.verifier.passport import About, Part
from tests.api.conftest import Run
from tests.api.conftest import run as run  # noqa: PLC0414 - a fixture.
from tests.api.support import absent, person, until
from tests.api.test_access import reads
from tests.api.test_problems import problem
from tests.federation.test_over_http import contact
from tests.federation.test_passport import Case, lines, signed_again
from tests.support import strange_passport

SEED = 20261126
TAMPERINGS = 300
PHONE, LATER = "+8613900001234", "+8613955556666"


@pytest.fixture(scope="module")
def case(postgres: EmbeddedServer) -> Iterator[Case]:
    """The member's telephone stands in two facts; the host's notes open at the host alone."""
    with ExitStack() as stack:
        made = Case(postgres.url, stack, "disclosure")
        made.origin.post(f"/members/{member_of(made)}/phone", {"phone": LATER[3:]})
        call = made.host.post("/contacts", contact(made.outflow, condition="在岗"))["id"]
        until(lambda: made.origin.node.ledger.find(Contact, UUID(call)))
        yield made


def member_of(case: Case) -> str:
    return str(case.origin.get(f"/outflows/{case.outflow}")["member"])


@pytest.fixture(scope="module")
def file(case: Case) -> bytes:
    """All but number and telephone."""
    return case.of(case.origin, hide=["number", "phone"])


@pytest.fixture(scope="module")
def number(case: Case) -> str:
    (opened,) = passport.verify(case.of(case.origin, opened=True), case.known)
    (found,) = {plain for field, plain in opened.opened.items() if field.name == "number"}
    return found


def told(part: Part) -> str:
    return "\n".join(story.told([part]))


def sealed(part: Part) -> dict[tuple[UUID, int, str], Sealed]:
    return {
        (each.stream, each.version, name): Sealed(value)
        for each in part.records
        for name, value in each.said.items()
        if is_sealed(value)
    }


# What it shows.


@pytest.mark.slow
def test_chosen_fields_are_hidden_and_nothing_is_removed(
    case: Case, file: bytes, number: str
) -> None:
    (whole,) = passport.verify(case.of(case.origin, opened=True), case.known)

    (part,) = passport.verify(file, case.known)

    assert part.hidden == ["number", "phone"]
    assert [each.state for each in part.records] == [each.state for each in whole.records]
    assert {field.name for field in part.opened} == {"name", "born_on"}
    said = told(part)
    assert "name: 张三" in said
    assert said.count("phone: （已隐去 hidden）") == 2
    assert "number（1 处）、phone（2 处）" in said
    assert "未删一条" in said
    for hidden in (number, PHONE, LATER):
        assert hidden not in said
        assert hidden.encode() not in file


@pytest.mark.slow
def test_only_chosen_fields_are_shown(case: Case) -> None:
    (part,) = passport.verify(case.of(case.origin, show=["phone"]), case.known)

    assert set(part.opened.values()) == {PHONE, LATER}
    assert {"name", "number"} <= set(part.hidden)
    assert "name: （已隐去 hidden）" in told(part)


@pytest.mark.slow
def test_what_the_maker_cannot_open_is_sealed_and_not_hidden(case: Case) -> None:
    (part,) = passport.verify(case.of(case.host, hide=["condition"]), case.known)
    assert "condition: （已隐去 hidden）" in told(part)

    (part,) = passport.verify(case.of(case.origin, hide=["phone"]), case.known)

    assert "condition: （密封 sealed）" in told(part)


@pytest.mark.slow
def test_a_stranger_reads_what_is_shown_by_the_page_alone(case: Case, file: bytes) -> None:
    keys = {code: key for code, (key,) in case.known.items()}
    (part,) = passport.verify(file, case.known)

    seen = strange_passport.verify(file, keys)

    shown = {(str(f.stream), f.version, f.name): plain for f, plain in part.opened.items()}
    assert (seen.facts, seen.shown, seen.hidden) == (len(part.records), shown, set(part.hidden))
    swapped = lines(file)[:-1]
    keys_of = [each for each in swapped if "field" in each]
    keys_of[0]["secret"] = b64(bytes(32))
    with pytest.raises(AssertionError):
        strange_passport.verify(signed_again(case.origin, swapped), keys)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        ({"hide": ["number", "phone"]}, {"facts", "name", "born_on"}),
        ({"show": ["phone"]}, {"facts", "phone"}),
        ({"opened": True}, {"facts", "name", "born_on", "number", "phone"}),
    ],
)
def test_it_is_recorded_with_exactly_the_fields_shown(
    case: Case, asked: dict[str, Any], fields: set[str]
) -> None:
    case.of(case.origin, **asked)

    row = reads(case.origin, what="passport")[-1]
    assert (row["act"], row["purpose"], row["outcome"]) == ("export", "audit", "shown")
    assert (set(row["fields"]), row["count"]) == (fields, 1)


@pytest.mark.slow
def test_two_files_of_one_ledger_show_together_what_either_shows(case: Case, file: bytes) -> None:
    other = case.of(case.origin, show=["phone"])

    said = "\n".join(story.told(passport.verify(file + other, case.known)))

    assert f"phone: {LATER}" in said
    assert "number: （已隐去 hidden）" in said


@pytest.mark.slow
def test_what_is_hidden_in_one_part_is_told_of_the_other(case: Case) -> None:
    both = case.of(case.origin, show=["name"], **{"with": "chengdu"})

    said = "\n".join(story.told(passport.verify(both, case.known)))

    assert "condition: （已隐去 hidden）" in said
    assert "name: 张三" in said


# All of a member.


@pytest.mark.slow
def test_all_of_a_member_in_one_file(case: Case) -> None:
    member = member_of(case)
    ended = {"returned_on": "2025-06-01"}
    origin = case.origin
    other, outflow = absent(origin)
    origin.post(f"/outflows/{outflow}/return", ended)
    again = {"member": other, "left_on": "2025-07-01", "destination": "四川省成都市"}
    second = origin.post("/outflows", again)["id"]

    answer = origin.ask(f"/members/{other}/passport", hide="number")

    (part,) = passport.verify(answer.content, case.known)
    assert part.about == ("member", UUID(other))
    assert {UUID(each) for each in (other, outflow, second)} <= set(part.ends)
    assert {each.meta.get("subject") for each in part.records} == {other, None}
    assert f"党员 member {other}" in told(part)
    assert [row["subjects"] for row in reads(origin, what="passport")][-1] == [UUID(other)]
    # What the host has said is there as well.
    mine = origin.ask(f"/members/{member}/passport")
    (part,) = passport.verify(mine.content, case.known)
    assert {UUID(case.outflow), UUID(case.inflow), UUID(case.made)} <= set(part.ends)


@pytest.mark.slow
def test_a_peer_gives_its_part_of_a_member(case: Case) -> None:
    answer = case.origin.ask(f"/members/{member_of(case)}/passport", **{"with": case.host.code})

    ours, theirs = passport.verify(answer.content, case.known)
    assert (ours.about, theirs.by, theirs.to) == (theirs.about, "chengdu", "jiuquan")


@pytest.mark.slow
def test_nothing_is_shown_of_nobody(case: Case) -> None:
    problem(case.origin.ask(f"/members/{uuid4()}/passport"), 404, "not-found")
    member = member_of(case)
    answer = case.origin.ask(f"/members/{member}/passport", to=case.stranger.code)
    problem(answer, 404, "not-found")


# What cannot be asked.


@pytest.mark.slow
def test_a_field_that_is_not_sealed_there_cannot_be_chosen(case: Case) -> None:
    path = f"/outflows/{case.outflow}/passport"

    said = problem(case.origin.ask(path, hide="sex"), 422, NotSealed.code())

    assert said["field"] == "sex"
    assert {"name", "number", "phone"} <= set(said["known"])
    problem(case.origin.ask(path, show="nothing"), 422, NotSealed.code())


@pytest.mark.slow
@pytest.mark.parametrize(
    "asked", [{"show": "name", "hide": "phone"}, {"opened": True, "hide": "phone"}]
)
def test_one_way_of_choosing_is_enough(case: Case, asked: dict[str, Any]) -> None:
    answer = case.origin.ask(f"/outflows/{case.outflow}/passport", **asked)

    problem(answer, 422, ChosenTwice.code())


@pytest.mark.slow
def test_no_field_is_shown_in_what_is_made_out_to_somebody(case: Case) -> None:
    path = f"/outflows/{case.outflow}/passport"

    problem(case.origin.ask(path, to="chengdu", show="name"), 422, OpenedForNobody.code())


@pytest.mark.slow
def test_so_many_fields_are_not_named(case: Case) -> None:
    path, many = f"/outflows/{case.outflow}/passport", ["name"] * FIELDS_MAX

    assert case.origin.ask(path, show=many).status_code == 200
    problem(case.origin.ask(path, show=[*many, "name"]), 422, "invalid-request")


@pytest.mark.slow
def test_a_peer_cannot_show_what_is_to_be_hidden(case: Case) -> None:
    about = About("absence", UUID(case.outflow))
    said = lines(case.of(case.host, to="jiuquan"))[:-1]
    said += [each for each in lines(case.of(case.host, opened=True)) if "field" in each][:1]
    there = {(each["stream"], each["version"]) for each in said if "state" in each}
    assert (said[-1]["stream"], said[-1]["version"]) in there
    wire = signed_again(case.host, said)
    passport.verify(wire, case.known)

    class Answered(Asking):
        def _get(self, url: str) -> bytes:
            del url
            return wire

    asking = Answered(case.origin.node, case.origin.running.worker.signer)
    with pytest.raises(Defect, match="asked for"):
        asking.part_of("chengdu", about)


# What is hidden cannot be opened.


def everything_in(file: bytes) -> set[bytes]:
    """Whatever could be a key: all that is 32 bytes long in base64, hex, or a sealed value."""
    found = {base64.b64decode(each) for each in re.findall(rb"[A-Za-z0-9+/]{43}=", file)}
    coded = re.findall(rb"[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])", file)
    found |= {base64.urlsafe_b64decode(each + b"=") for each in coded}
    return found | {bytes.fromhex(each.decode()) for each in re.findall(rb"[0-9a-f]{64}", file)}


def opens(value: Sealed, secret: bytes, place: Place, name: str) -> bool:
    """Whether it opens by any reading of a secret: as the field's key, or the class's."""
    nonce, _, box = (base64.urlsafe_b64decode(each + "==") for each in value.split(".")[2:])
    try:
        suite.chosen().cipher(secret).decrypt(nonce, box, place.binding(name, value.key_id))
    except InvalidTag:
        key = DataKey(value.key_id, uuid4(), DataClass.IDENTITY, secret)
        try:
            unseal(value, key, name, place)
        except Unopenable:
            return False
    return True


@pytest.mark.slow
def test_nothing_in_the_file_opens_what_is_hidden(case: Case, file: bytes) -> None:
    (part,) = passport.verify(file, case.known)
    keys, records = everything_in(file), {(r.stream, r.version): r for r in part.records}
    given = {base64.b64decode(each["secret"]) for each in lines(file) if "field" in each}
    assert given < keys

    opened = set()
    for (stream, version, name), value in sealed(part).items():
        record = records[stream, version]
        schema = record.meta.get("schema_version", 1)
        place = Place(record.keeper, stream, version, record.topic, schema)
        opened |= {(stream, version, name) for key in keys if opens(value, key, place, name)}

    assert opened == set(part.opened)
    assert not {name for _, _, name in opened} & set(part.hidden)
    assert len(sealed(part)) > len(opened) > 0


@pytest.mark.slow
def test_who_is_erased_is_shown_to_nobody_new_and_stays_shown_to_whoever_was(case: Case) -> None:
    origin = case.origin
    member = origin.post("/members", person(name="李四"))["id"]
    path = f"/members/{member}/passport"
    before = origin.ask(path, show="name").content

    erasure = origin.post("/erasures", {"member": member, "ground": "consent_withdrawn"})["id"]
    origin.post(f"/erasures/{erasure}/grant", {}, Waystation_Person="li")

    (part,) = passport.verify(origin.ask(path, opened=True).content, case.known)
    assert part.opened == {}
    assert "name: （密封 sealed）" in told(part)
    assert reads(origin, what="passport")[-1]["fields"] == ["facts"]
    (part,) = passport.verify(before, case.known)
    assert set(part.opened.values()) == {"李四"}


# What is refused, though its own maker has signed it.


def _fact(said: list[dict[str, Any]]) -> dict[str, Any]:
    return next(each for each in said if each.get("topic") == "member.registered")


def _keys(said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in said if "field" in each]


def _alter(said: list[dict[str, Any]]) -> None:
    fact = _fact(said)
    state = json.loads(fact["state"])
    hidden = state["number"]
    bent = hidden[:-1] + ("A" if hidden[-1] != "A" else "B")
    fact["state"] = fact["state"].replace(hidden, bent)


def _remove_field(said: list[dict[str, Any]]) -> None:
    fact = _fact(said)
    state = json.loads(fact["state"])
    del state["number"]
    fact["state"] = json.dumps(state, ensure_ascii=False, separators=(",", ":"))


def _remove_fact(said: list[dict[str, Any]]) -> None:
    said.remove(_fact(said))


def _swap_keys(said: list[dict[str, Any]]) -> None:
    one = _keys(said)[0]
    one["secret"] = b64(bytes(32))


def _key_of_another_field(said: list[dict[str, Any]]) -> None:
    _keys(said)[0]["field"] = "ethnic"


def _key_of_the_hidden(said: list[dict[str, Any]]) -> None:
    said[0]["hidden"] = sorted([*said[0]["hidden"], "name"])


def _key_of_no_fact(said: list[dict[str, Any]]) -> None:
    _keys(said)[0]["version"] = 99


def _key_twice(said: list[dict[str, Any]]) -> None:
    said.append(_keys(said)[0])


def _key_before_its_fact(said: list[dict[str, Any]]) -> None:
    said.insert(1, said.pop())


def _key_amid_facts(said: list[dict[str, Any]]) -> None:
    said.insert(said.index(_fact(said)) + 1, said.pop())


def _hide_what_is_absent(said: list[dict[str, Any]]) -> None:
    said[0]["hidden"] = sorted([*said[0]["hidden"], "family"])


def _hide_what_is_in_the_clear(said: list[dict[str, Any]]) -> None:
    said[0]["hidden"] = sorted([*said[0]["hidden"], "branch"])


def _hide_twice(said: list[dict[str, Any]]) -> None:
    said[0]["hidden"] = ["number", "number", "phone"]


def _hide_nothing_in_words(said: list[dict[str, Any]]) -> None:
    del said[0]["hidden"]


REFUSED: dict[Callable[[list[dict[str, Any]]], None], str] = {
    _alter: "not in the signed ledger",
    _remove_field: "not in the signed ledger",
    _remove_fact: "gap|does not end",
    _swap_keys: "is not that of name",
    _key_of_another_field: "nothing is sealed",
    _key_of_the_hidden: "a key of it is here",
    _key_of_no_fact: "not here",
    _key_twice: "the same key again",
    _key_before_its_fact: "not here",
    _key_amid_facts: "order",
    _hide_what_is_absent: "nowhere",
    _hide_what_is_in_the_clear: "nowhere",
    _hide_twice: "in their order",
    _hide_nothing_in_words: "hidden is missing",
}


@pytest.mark.slow
@pytest.mark.parametrize("bend", REFUSED, ids=lambda each: each.__name__.strip("_"))
def test_its_maker_cannot(
    case: Case, file: bytes, bend: Callable[[list[dict[str, Any]]], None]
) -> None:
    said = lines(file)[:-1]
    bend(said)

    with pytest.raises(Defect, match=REFUSED[bend]) as defect:
        passport.verify(signed_again(case.origin, said), case.known)
    assert defect.value.facts["where"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [SEED])
def test_every_change_of_a_redacted_file_is_noticed(case: Case, file: bytes, seed: int) -> None:
    print(f"seed {seed}")  # noqa: T201 - shown when it fails.
    rng, rows = random.Random(seed), file.splitlines(keepends=True)
    for _ in range(TAMPERINGS):
        changed, at = list(rows), rng.randrange(len(rows))
        match rng.randrange(4):
            case 0:
                del changed[at]
            case 1:
                other = rng.randrange(len(rows))
                changed[at], changed[other] = changed[other], changed[at]
            case 2:
                changed.insert(at, rng.choice(rows))
            case _:
                row = bytearray(changed[at])
                row[rng.randrange(len(row))] ^= 1 << rng.randrange(8)
                changed[at] = bytes(row)
        if changed == rows:
            continue
        with pytest.raises(Defect):
            passport.verify(b"".join(changed), case.known)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [SEED])
def test_no_key_is_taken_for_another_however_it_is_signed(case: Case, seed: int) -> None:
    print(f"seed {seed}")  # noqa: T201 - shown when it fails.
    rng, whole = random.Random(seed), lines(case.of(case.origin, opened=True))[:-1]
    fields = [at for at, each in enumerate(whole) if "field" in each]
    for _ in range(TAMPERINGS):
        said = deepcopy(whole)
        one, other = rng.sample(fields, 2)
        name = rng.choice(["secret", "field", "stream", "version"])
        if rng.random() < 0.5 and said[one][name] != said[other][name]:
            said[one][name] = said[other][name]
        else:
            raw = bytearray(base64.b64decode(said[one]["secret"]))
            raw[rng.randrange(32)] ^= 1 << rng.randrange(8)
            said[one]["secret"] = b64(bytes(raw))
        with pytest.raises(Defect):
            passport.verify(signed_again(case.origin, said), case.known)


# The command line.


@pytest.mark.slow
def test_from_the_command_line(case: Case, run: Run, tmp_path: Path, number: str) -> None:
    made = tmp_path / "a.passport"
    hidden = ("--hide", "number", "--hide", "phone")

    written = run("passport", case.outflow, "--out", made, "--url", case.origin.url, *hidden)
    said = run("verify", made)

    assert written.code == said.code == 0, written.err + said.err
    assert "number（1 处）、phone（2 处）" in said.out
    assert "未删一条" in said.out
    assert number not in said.out
    of = ("passport", case.outflow, "--out", tmp_path / "b", "--url", case.origin.url)
    assert "只能用一个" in run(*of, "--show", "name", "--hide", "phone").sentence
    assert "没有这个密封的字段" in run(*of, "--hide", "phnoe").sentence
    assert not (tmp_path / "b").exists()


@pytest.mark.slow
def test_a_member_from_the_command_line(case: Case, run: Run, tmp_path: Path) -> None:
    made = tmp_path / "a.passport"
    of = ("passport", member_of(case), "--member", "--show", "name", "--out", made)

    written = run(*of, "--url", case.origin.url)
    said = run("verify", made)

    assert written.code == said.code == 0, written.err + said.err
    assert "name: 张三" in said.out
