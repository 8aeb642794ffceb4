"""流动护照: one absence, proved by both ledgers, and believed by nobody once changed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from api.passport import OpenedForNobody
from api.service import Who
from api.storage.server import EmbeddedServer
from sync.keys import NodeKeys, b64
from sync.note import Note, cosigned
from sync.verifier import passport, story
from sync.verifier.defect import Defect, write_json
from tests.api.conftest import Run
from tests.api.conftest import run as run  # noqa: PLC0414 - a fixture.
from tests.api.support import Site, absent, cared_for, meet, offered, site, until
from tests.api.test_access import reads
from tests.api.test_lanes import signer
from tests.api.test_problems import problem
from tests.federation.test_over_http import contact
from tests.support import strange_passport

SEED = 20261126
TAMPERINGS = 400


class Case:
    """An absence in a host's care, with a contact by the host, and strangers beside it."""

    def __init__(self, url: str, stack: ExitStack, schema: str = "passport") -> None:
        self.origin, self.host, self.stranger = (
            stack.enter_context(site(url, f"{schema}_{code}", code=code))
            for code in ("jiuquan", "chengdu", "shenzhen")
        )
        meet(self.origin, self.host)
        meet(self.origin, self.stranger)
        absent(self.origin)
        self.outflow, self.inflow = cared_for(self.origin, self.host)
        self.made = self.host.post("/contacts", contact(self.outflow))["id"]
        # What comes after belongs to others; it makes the proofs longer.
        absent(self.origin)

    def of(self, at: Site, **query: Any) -> bytes:
        answer = at.ask(f"/outflows/{self.outflow}/passport", **query)
        assert answer.status_code == 200, answer.text
        return answer.content

    @property
    def known(self) -> dict[str, list[str]]:
        return {each.code: [each.node.keys.verify_key] for each in (self.origin, self.host)}


@pytest.fixture(scope="module")
def case(postgres: EmbeddedServer) -> Iterator[Case]:
    with ExitStack() as stack:
        yield Case(postgres.url, stack)


@pytest.fixture(scope="module")
def file(case: Case) -> bytes:
    """Both organizations' parts."""
    return case.of(case.origin, **{"with": case.host.code})


def lines(file: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.splitlines()]


def signed_again(at: Site, said: list[dict[str, Any]]) -> bytes:
    """A part that its own organization has forged: everything in it is signed properly."""
    body = b"".join(map(write_json, said))
    signature = b64(at.node.keys.sign(passport.signed_text(body)))
    return body + write_json({"signatures": {at.node.keys.verify_key: signature}})


# What it holds.


@pytest.mark.slow
def test_both_ledgers_prove_what_each_has_said(case: Case, file: bytes) -> None:
    ours, theirs = passport.verify(file, case.known)

    assert (ours.by, ours.to, ours.known) == ("jiuquan", None, True)
    assert (theirs.by, theirs.to, theirs.known) == ("chengdu", "jiuquan", True)
    topics = [record.topic for record in ours.records]
    assert {"member.registered", "outflow.registered", "outflow.confirmed"} <= set(topics)
    assert "inflow.accepted" in topics
    assert {record.keeper for record in ours.records} == {"jiuquan", "chengdu"}
    assert ours.about == ("absence", UUID(case.outflow))


@pytest.mark.slow
def test_the_story_is_told_in_chinese_and_sealed(case: Case, file: bytes) -> None:
    told = "\n".join(story.told(passport.verify(file, case.known)))

    for word in ("外出登记", "确认交接", "接收", "联系", "密钥已核对", "全部核对无误"):
        assert word in told
    assert "name: （密封 sealed）" in told
    assert "张三" not in told
    assert "张三".encode() not in file


@pytest.mark.slow
def test_with_its_keys_it_is_read(case: Case) -> None:
    opened = case.of(case.origin, opened=True)

    told = "\n".join(story.told(passport.verify(opened, case.known)))

    assert "name: 张三" in told
    assert "首次信任" not in told


@pytest.mark.slow
@pytest.mark.parametrize(("opened", "fields"), [(False, set()), (True, {"name", "number"})])
def test_it_is_recorded_with_the_fields_it_opens(
    case: Case, *, opened: bool, fields: set[str]
) -> None:
    case.of(case.origin, opened=opened)

    row = reads(case.origin, what="passport")[-1]

    assert (row["act"], row["outcome"], row["count"]) == ("export", "shown", 1)
    assert {"facts"} | fields <= set(row["fields"])
    assert opened or set(row["fields"]) == {"facts"}


@pytest.mark.slow
def test_a_stranger_verifies_it_by_the_page_alone(case: Case, file: bytes) -> None:
    keys = {code: key for code, (key,) in case.known.items()}

    facts = strange_passport.verify(file, keys).facts

    ours, theirs = passport.verify(file, case.known)
    assert facts == len(ours.records) + len(theirs.records)
    with pytest.raises(AssertionError):
        strange_passport.verify(file.replace("成都".encode(), "重庆".encode(), 1), keys)


# To whom.


@pytest.mark.slow
def test_a_peer_is_shown_what_it_hears_of_and_no_more(case: Case) -> None:
    whole = passport.verify(case.of(case.origin), case.known)[0]
    (part,) = passport.verify(case.of(case.origin, to=case.host.code), case.known)

    assert {r.stream for r in part.records} < {r.stream for r in whole.records} or (
        len(part.records) == len(whole.records)
    )
    for record in part.records:
        heard = {r.stream for r in whole.records if case.host.code in (*r.audience, r.keeper)}
        assert record.stream in heard or record.topic.startswith("signet.")
    answer = case.origin.ask(f"/outflows/{case.outflow}/passport", to=case.stranger.code)
    problem(answer, 404, "not-found")


@pytest.mark.slow
def test_a_peer_asks_by_a_signed_request(case: Case) -> None:
    def asked(by: Site, **headers: str) -> httpx.Response:
        lane = f"{case.origin.url}/lanes/{by.code}"
        url = f"{lane}/passport?of=jiuquan&about=absence&id={case.outflow}"
        return httpx.get(url, headers=headers or signer(by).headers("GET", url), trust_env=False)

    assert passport.verify(asked(case.host).content, case.known)[0].to == case.host.code
    assert asked(case.stranger).status_code == 404
    assert asked(case.host, Accept="*/*").status_code == 403


@pytest.mark.slow
def test_keys_are_given_to_nobody_by_name(case: Case) -> None:
    answer = case.origin.ask(f"/outflows/{case.outflow}/passport", to="chengdu", opened=True)

    problem(answer, 422, OpenedForNobody.code())


@pytest.mark.slow
def test_nothing_is_shown_of_nothing(case: Case) -> None:
    problem(case.origin.ask(f"/outflows/{uuid4()}/passport"), 404, "not-found")


# What is refused.


@pytest.mark.slow
@pytest.mark.parametrize("seed", [SEED])
def test_every_change_of_a_byte_is_noticed(case: Case, file: bytes, seed: int) -> None:
    print(f"seed {seed}")  # noqa: T201 - shown when it fails.
    rng = random.Random(seed)
    for _ in range(TAMPERINGS):
        changed = bytearray(file)
        at = rng.randrange(len(file))
        match rng.randrange(4):
            case 0:
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                del changed[at : at + rng.randrange(1, 40)]
            case 2:
                changed[at:at] = bytes([rng.randrange(256)])
            case _:
                other = rng.randrange(len(file))
                changed[at], changed[other] = changed[other], changed[at]
        if bytes(changed) == file:
            continue
        with pytest.raises(Defect) as defect:
            passport.verify(bytes(changed), case.known)
        assert defect.value.facts["where"]


@pytest.mark.slow
def test_whole_lines_are_not_cut_swapped_or_added(case: Case, file: bytes) -> None:
    rng = random.Random(SEED)
    rows = file.splitlines(keepends=True)
    end = next(n for n, row in enumerate(rows) if row.startswith(b'{"signatures"'))
    for _ in range(TAMPERINGS // 8):
        changed, at = list(rows), rng.randrange(end + 1)
        match rng.randrange(3):
            case 0:
                del changed[at]
            case 1:
                other = (at + rng.randrange(1, end)) % (end + 1)
                changed[at], changed[other] = changed[other], changed[at]
            case _:
                changed.insert(at, changed[rng.randrange(end)])
        with pytest.raises(Defect):
            passport.verify(b"".join(changed), case.known)


STRANGE: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**70, 1.5, "", "a", "\ud800", "0" * 44, [], {}, [None], {"a": {}}),
    *(
        "00000000-0000-0000-0000-000000000000",
        "9999-12-31T23:59:59-12:00",
        "a/ledger/1\n1\n\n\n",
        "\x1b[2J",
    ),
)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [SEED])
def test_whatever_its_maker_writes_is_read_or_refused(case: Case, seed: int) -> None:
    print(f"seed {seed}")  # noqa: T201 - shown when it fails.
    rng, whole = random.Random(seed), lines(case.of(case.origin, opened=True))[:-1]
    refused = 0
    for _ in range(TAMPERINGS):
        said = deepcopy(whole)
        line = rng.choice(said)
        name = rng.choice(list(line))
        if name == "state" and rng.random() < 0.7:
            state = json.loads(line["state"])
            part = rng.choice([state, state["meta"]])
            part[rng.choice(list(part))] = rng.choice(STRANGE)
            line["state"] = json.dumps(state)
        else:
            line[name] = rng.choice(STRANGE)
        body = b"".join(json.dumps(each).encode() + b"\n" for each in said)
        signature = b64(case.origin.node.keys.sign(passport.signed_text(body)))
        end = write_json({"signatures": {case.origin.node.keys.verify_key: signature}})
        try:
            told = list(story.told(passport.verify(body + end, case.known)))
        except Defect as defect:
            refused, told = refused + 1, [str(defect)]
        assert all(each.isprintable() for each in told)
    assert refused > TAMPERINGS // 2


@pytest.mark.slow
@pytest.mark.parametrize("cut", [1, 2, 5])
def test_even_its_maker_cannot_leave_out_the_middle(case: Case, cut: int) -> None:
    said = lines(case.of(case.origin))[:-1]
    streams = [n for n, each in enumerate(said) if each.get("stream") == case.outflow]
    del said[streams[min(cut, len(streams) - 2)]]

    with pytest.raises(Defect, match="gap"):
        passport.verify(signed_again(case.origin, said), case.known)


@pytest.mark.slow
def test_even_its_maker_cannot_change_a_fact(case: Case) -> None:
    said = lines(case.of(case.origin))[:-1]
    fact = next(each for each in said if each.get("topic") == "outflow.registered")
    fact["state"] = fact["state"].replace("成都", "重庆")

    with pytest.raises(Defect, match="not in the signed ledger") as defect:
        passport.verify(signed_again(case.origin, said), case.known)
    assert "outflow.registered" in defect.value.facts["where"]


@pytest.mark.slow
def test_a_maker_that_leaves_out_the_end_is_exposed_by_its_own_whole_one(case: Case) -> None:
    whole = case.of(case.origin)
    said = lines(whole)[:-1]
    last = max(n for n, each in enumerate(said) if each.get("stream") == case.outflow)
    said[0]["streams"][case.outflow] -= 1
    del said[last]
    shorter = signed_again(case.origin, said)

    passport.verify(shorter, case.known)
    for both in (whole + shorter, shorter + whole):
        with pytest.raises(Defect, match="left out"):
            passport.verify(both, case.known)


@pytest.mark.slow
def test_a_key_that_is_not_the_known_one_is_not_believed(case: Case) -> None:
    wrong = {"jiuquan": [NodeKeys.generate().verify_key]}

    with pytest.raises(Defect, match="known key") as defect:
        passport.verify(case.of(case.origin), wrong)
    assert defect.value.facts["fingerprint"]


@pytest.mark.slow
def test_on_first_sight_the_fingerprint_is_shown(case: Case) -> None:
    parts = passport.verify(case.of(case.origin), {})

    told = "\n".join(story.told(parts))

    assert not parts[0].known
    assert "首次信任" in told
    card = case.origin.card()
    assert card[1] in told


@pytest.mark.slow
def test_a_peer_has_witnessed_what_a_passport_stands_on(case: Case) -> None:
    def witnessed() -> bool:
        offered(case.origin, case.host)  # A checkpoint travels with what there is to say.
        (part,) = passport.verify(case.of(case.origin), case.known)
        return "chengdu" in {each.org for each in part.witnesses}

    until(witnessed)

    passport.verify(case.of(case.origin), case.known, witnesses=1)


@pytest.mark.slow
def test_witnesses_count_when_their_key_is_known(case: Case) -> None:
    said = lines(case.of(case.origin))[:-1]
    note = Note.read(said[0]["checkpoint"].encode())
    note = Note(note.text, tuple(each for each in note.lines if "witness" not in each.name))
    at, pair = case.host.node.clock(), case.host.node.keys.signers[0]
    line = cosigned(note.text, "chengdu/witness", pair, at)
    said[0]["checkpoint"] = bytes(note.with_lines([line])).decode()
    cosigned_part = signed_again(case.origin, said)

    (part,) = passport.verify(cosigned_part, case.known, witnesses=1)
    assert [each.org for each in part.witnesses] == ["chengdu"]
    with pytest.raises(Defect, match="witnesses"):
        passport.verify(cosigned_part, {}, witnesses=1)
    forged = cosigned(note.text + "x\n", "chengdu/witness", pair, at)
    said[0]["checkpoint"] = bytes(note.with_lines([forged])).decode()
    with pytest.raises(Defect, match="signature"):
        passport.verify(signed_again(case.origin, said), case.known)


# The command line, and a change of keys; last, for it changes the origin's keys.


@pytest.mark.slow
def test_from_the_command_line(case: Case, run: Run, tmp_path: Path) -> None:
    made, card = tmp_path / "a.passport", tmp_path / "jiuquan.card"
    card.write_text(case.origin.card()[0], encoding="utf-8")
    key = f"chengdu={case.host.node.keys.verify_key}"

    written = run(
        "passport", case.outflow, "--out", made, "--url", case.origin.url, "--with", "chengdu"
    )
    said = run("verify", made, "--card", card, "--key", key)

    assert written.code == 0, written.err
    assert said.code == 0, said.err
    assert "全部核对无误" in said.out
    made.write_bytes(made.read_bytes().replace(b'"version":1,', b'"version":2,', 1))
    assert "验证不通过" in run("verify", made).sentence
    assert "公钥" in run("verify", made, "--key", "jiuquan").sentence


@pytest.mark.slow
def test_a_rotation_is_followed_from_either_key(case: Case) -> None:
    before = case.origin.node.keys.verify_key
    case.origin.node.key_change.rotate(Who(person="wang"))

    file = case.of(case.origin)

    after = case.origin.node.keys.verify_key
    assert after != before
    for key in (before, after):
        (part,) = passport.verify(file, {"jiuquan": [key]})
        assert [link.how for link in part.chain.links] == ["opened", "rotated"]
    broken = lines(file)[:-1]
    rotated = next(each for each in broken if each.get("topic") == "signet.rotated")
    broken.remove(rotated)
    with pytest.raises(Defect):
        passport.verify(signed_again(case.origin, broken), {"jiuquan": [before]})
