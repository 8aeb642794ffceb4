"""审计证据: an answer proves that nothing was left out, and is believed no more once changed."""

from __future__ import annotations

import json
import random
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from api.evidence import issue, proving, report
from api.evidence.words import COLUMNS, definitions, field_names
from api.storage.server import EmbeddedServer
from domain.catalogue import FACTS
from domain.policy import Terms
from domain.tree import ours
from projections.history import HISTORY
from sync.keys import b64
from sync.verifier import account, answer, complete, evidence, explained, passport
from sync.verifier.defect import Defect, write_json
from sync.verifier.opened import show
from sync.verifier.records import leaf
from tests.api.conftest import HOST, Run, fresh
from tests.api.support import Site, absent, cared_for, meet, person, until
from tests.api.test_access import reads
from tests.api.test_headers import contact
from tests.api.test_problems import problem
from tests.support import strange_evidence

SEED = 20261126
PAGES = 60
TAMPERINGS = 300

Json = dict[str, Any]


class Case:
    """Two nodes with a few members, some of them away, and several officers."""

    def __init__(self, postgres: EmbeddedServer, stack: ExitStack) -> None:
        self.site = stack.enter_context(fresh(postgres))
        self.host = stack.enter_context(fresh(postgres, **HOST))
        site = self.site
        meet(site, self.host)
        site.post("/policies", {"effective_from": "2025-01-01", "terms": {}})
        self.members = []
        for number, officer in enumerate(("王干事", "李干事", "<b>赵</b>&")):
            member, outflow = absent(site)
            self.members.append(member)
            for day in range(1, 4):
                said = contact(outflow, on=f"2025-0{3 + number}-0{day}")
                site.post("/contacts", said, Waystation_Person=officer)
        self.outflow, self.inflow = cared_for(site, self.host)
        self.member = str(site.get(f"/outflows/{self.outflow}")["member"])
        self.call = self.host.post("/contacts", contact(self.outflow))["id"]
        until(lambda: site.get("/history", topic="contact.", org=self.host.code)["items"])
        site.post(f"/members/{self.member}/phone", {"phone": "13900007777"})

    @property
    def known(self) -> dict[str, list[str]]:
        return {each.code: [each.node.keys.verify_key] for each in (self.site, self.host)}

    def page(self, **asked: Any) -> Json:
        found: Json = self.site.get("/history", proof=1, **asked)
        return found

    def file(self, **asked: Any) -> bytes:
        found = self.site.ask("/history/evidence", **asked)
        assert found.status_code == 200, found.text
        return found.content

    def all(self, **asked: Any) -> list[Json]:
        """The rows of the history as it answers without a proof."""
        rows: list[Json] = []
        cursor = 0
        while cursor is not None:
            page = self.site.get("/history", limit=7, cursor=cursor, **asked)
            rows += page["items"]
            cursor = page["next"]
        return rows

    def question(self, rng: random.Random) -> Json:
        """Some marks of some entry."""
        row = rng.choice(self.all())
        marks = {
            "subject": row["subject"] or str(uuid4()),
            "person": row["person"],
            "org": row["org"],
            "topic": row["topic"][: rng.randrange(1, len(row["topic"]) + 1)],
            "correlation": row["correlation"],
            "from_day": row["on_day"],
            "to_day": row["on_day"],
            "source": "f" * 64,
        }
        if row["causation"]:
            marks["causation"] = f"{row['causation']}/{row['causation_version']}"
        names = rng.sample(sorted(marks), rng.choice((0, 1, 1, 1, 2)))
        return {name: marks[name] for name in names}


@pytest.fixture(scope="module")
def case(postgres: EmbeddedServer) -> Iterator[Case]:
    with ExitStack() as stack:
        yield Case(postgres, stack)


# An answer that is proved.


def test_a_page_holds_by_the_key_of_its_node_alone(case: Case) -> None:
    page = case.page(subject=case.member)

    proved = answer.verify(page, case.known)

    assert proved.by == case.site.code
    assert proved.question == {"subject": case.member}
    assert (proved.stretch.after, proved.stretch.upto) == (0, proved.checkpoint.size)
    assert page["items"] == case.all(subject=case.member) != []
    told = "\n".join(account.answered(proved))
    assert f"{len(page['items'])} 条符合" in told
    assert f"subject={case.member}" in told


def test_without_a_mark_every_entry_is_a_row(case: Case) -> None:
    page = case.page(limit=500)

    proved = answer.verify(page, case.known).proved

    upto = page["proof"]["upto"]
    assert [made.place + 1 for made, _ in proved.rows] == list(range(1, upto + 1))
    assert page["items"] == case.all(upto=upto)
    assert page["proof"]["others"] == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [SEED])
def test_pages_under_one_checkpoint_are_the_whole_answer(case: Case, seed: int) -> None:
    print(f"seed {seed}")  # noqa: T201 - shown when it fails.
    rng = random.Random(seed)
    size = case.page()["proof"]["checkpoint"].splitlines()[1]
    for _ in range(PAGES):
        question, rows = case.question(rng), list[Json]()
        cursor = start = rng.randrange(int(size) + 1)
        upto = rng.choice((None, rng.randrange(start, int(size) + 1)))
        limit = rng.choice((1, 3, 500))
        span = {} if upto is None else {"upto": upto}
        while cursor is not None:
            page = case.page(cursor=cursor, limit=limit, size=size, **span, **question)
            proved = answer.verify(page, case.known)
            assert proved.stretch.after == cursor
            rows, reached, cursor = rows + page["items"], proved.stretch.upto, page["next"]
            assert cursor in {None, reached}
        assert reached == (int(size) if upto is None else upto)
        found = [r for r in case.all(upto=reached, **question) if start < r["position"]]
        assert rows == found, (question, start, upto)


def test_pages_neither_leave_out_nor_repeat_while_others_write(case: Case) -> None:
    first = case.page(limit=5)
    size = int(first["proof"]["checkpoint"].splitlines()[1])
    rows, cursor = first["items"], first["next"]
    while cursor is not None:
        case.site.post("/members", person())
        page = case.page(cursor=cursor, limit=5, size=size)
        answer.verify(page, case.known)
        rows, cursor = rows + page["items"], page["next"]

    assert [row["position"] for row in rows] == list(range(1, size + 1))


def test_a_page_ends_after_so_many_entries_or_bytes(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proving, "ENTRIES_MAX", 3)
    few = case.page(subject=str(uuid4()))
    monkeypatch.undo()
    monkeypatch.setattr(proving, "PAGE_BYTES", 1)
    one = case.page(cursor=2)

    for page, reached in ((few, 3), (one, 3)):
        assert answer.verify(page, case.known).stretch.upto == page["next"] == reached
    assert few["items"] == []
    assert len(few["proof"]["others"]) == 3


def test_what_was_known_at_a_moment_is_a_range(case: Case) -> None:
    moment = case.all()[9]["entered_at"]

    page = case.page(known_at=moment)

    assert answer.verify(page, case.known).stretch.upto == page["items"][-1]["position"]
    assert page["items"][-1]["entered_at"] <= moment
    assert page["items"] == case.all(known_at=moment)


def test_what_no_entry_shows_by_itself_is_not_proved(case: Case) -> None:
    for asked in ({"outflow": case.outflow}, {"known_to": case.host.code}):
        problem(case.site.ask("/history", proof=1, **asked), 422, "not-provable")


def test_a_range_is_in_a_checkpoint_that_was_signed(case: Case) -> None:
    size = case.site.node.ledger.head
    problem(case.site.ask("/history", proof=1, size=size + 1000), 404, "not-found")
    problem(case.site.ask("/history", proof=1, cursor=size + 1000), 422, "sizes-unfit")


def test_a_proved_page_is_recorded_for_everybody_it_shows(case: Case) -> None:
    page = case.page(subject=case.member, limit=500)

    row = reads(case.site, what="history")[-1]

    shown = {json.loads(each["state"])["meta"].get("subject") for each in page["proof"]["others"]}
    assert row["count"] == len(shown - {None} | {case.member})
    assert row["count"] > 1
    assert "facts" in row["fields"]


ENTRY = """
    UPDATE stored_events SET state =
        convert_to(replace(convert_from(state, 'UTF8'), 'officer', 'nobody'), 'UTF8')
    WHERE notification_id = 5
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("edit", "where"),
    [
        ("UPDATE history SET person = 'nobody' WHERE position = 5", "第 5 条"),
        ("DELETE FROM history WHERE position = 5", "第 5 条"),
        (ENTRY, "第 5 条"),
    ],
)
def test_an_edited_table_is_not_proved(postgres: EmbeddedServer, edit: str, where: str) -> None:
    with fresh(postgres) as site:
        absent(site)
        head = site.node.ledger.head
        until(lambda: site.get("/history", upto=head, cursor=head - 1)["items"])
        site.node.log.checkpoint(head)
        with site.node.database.connection() as conn:
            conn.execute(edit)

        for path, asked in (("/history", {"proof": 1}), ("/history/evidence", {})):
            told = problem(site.ask(path, upto=head, **asked), 422, "defect")

            assert told["where"].startswith(where)


# An answer that was changed.


def drop_row(page: Json, rng: random.Random, _: Case) -> int:
    row: Json = page["items"].pop(rng.randrange(len(page["items"])))
    return int(row["position"])


def drop_row_and_hash(page: Json, rng: random.Random, _: Case) -> int:
    """As if it had never been: every later entry moves up."""
    at = drop_row(page, rng, _)
    del page["proof"]["hashes"][at - page["proof"]["after"] - 1]
    page["proof"]["upto"] -= 1
    for each in (*page["items"], *page["proof"]["others"]):
        each["position"] -= each["position"] > at
    return 0


def hide_row(page: Json, rng: random.Random, _: Case) -> int:
    """A row is said not to bear what was asked for."""
    row = page["items"].pop(rng.randrange(len(page["items"])))
    names = ("position", "stream", "version", "topic", "state")
    page["proof"]["others"].append({name: row[name] for name in names})
    page["proof"]["others"].sort(key=lambda each: each["position"])
    return int(row["position"])


def add_row(page: Json, rng: random.Random, _: Case) -> int:
    row = deepcopy(rng.choice(page["items"]))
    page["items"].append(row)
    page["items"].sort(key=lambda each: each["position"])
    return int(row["position"]) + 1


def show_other(page: Json, rng: random.Random, case: Case) -> int:
    """An entry that was not asked for stands among the rows."""
    others = page["proof"]["others"]
    other = others.pop(rng.randrange(len(others)))
    rows = {row["position"]: row for row in case.all()}
    page["items"].append(rows[other["position"]])
    page["items"].sort(key=lambda each: each["position"])
    return int(other["position"])


def change_state(page: Json, rng: random.Random, _: Case) -> int:
    row = rng.choice([*page["items"], *page["proof"]["others"]])
    row["state"] = row["state"].replace("officer", "offjcer")
    return int(row["position"])


def change_state_and_hash(page: Json, rng: random.Random, case: Case) -> int:
    at = change_state(page, rng, case)
    (row,) = (r for r in (*page["items"], *page["proof"]["others"]) if r["position"] == at)
    data = leaf(UUID(row["stream"]), row["version"], row["topic"], row["state"].encode())
    at -= page["proof"]["after"] + 1
    page["proof"]["hashes"][at] = b64encode(ours().leaf(data)).decode()
    return 0


def change_column(page: Json, rng: random.Random, _: Case) -> int:
    row = rng.choice(page["items"])
    name = rng.choice(("person", "org", "on_day", "recorded_at", "subject", "correlation"))
    row[name] = "2024-01-01" if name == "on_day" else f"{row[name]}x"
    return int(row["position"])


def swap_rows(page: Json, rng: random.Random, _: Case) -> int:
    items = page["items"]
    one, other = sorted(rng.sample(range(len(items)), 2))
    items[one], items[other] = items[other], items[one]
    return -1


def swap_places(page: Json, rng: random.Random, _: Case) -> int:
    """Two entries say that each stands where the other does."""
    one, other = rng.sample(page["items"], 2)
    at = min(one["position"], other["position"])
    one["position"], other["position"] = other["position"], one["position"]
    page["items"].sort(key=lambda each: each["position"])
    return int(at)


def cut_end(page: Json, _: random.Random, __: Case) -> int:
    """The range ends one entry earlier, and so do all that is said of it."""
    proof = page["proof"]
    for rows in (page["items"], proof["others"]):
        rows[:] = [each for each in rows if each["position"] < proof["upto"]]
    proof["upto"] -= 1
    proof["hashes"].pop()
    return 0


def cut_begin(page: Json, _: random.Random, __: Case) -> int:
    proof = page["proof"]
    proof["after"] += 1
    for rows in (page["items"], proof["others"]):
        rows[:] = [each for each in rows if each["position"] > proof["after"]]
    del proof["hashes"][0]
    return 0


def other_checkpoint(page: Json, rng: random.Random, case: Case) -> int:
    size = int(page["proof"]["checkpoint"].splitlines()[1])
    notes = [n.decode() for n in case.site.node.log.signed_up_to(case.site.node.ledger.head)]
    others = [n for n in notes if int(n.splitlines()[1]) != size]
    page["proof"]["checkpoint"] = rng.choice(others)
    return 0


def other_question(page: Json, rng: random.Random, _: Case) -> int:
    page["proof"]["question"] = rng.choice(
        ({}, {"org": "nobody"}, {"topic": "outflow."}, {"person": "王干事"})
    )
    return -1


def other_hash(page: Json, rng: random.Random, _: Case) -> int:
    proof = page["proof"]
    names = [name for name in ("left", "right") if proof[name]]
    rows = proof[rng.choice(names)]
    rows[rng.randrange(len(rows))] = b64encode(rng.randbytes(32)).decode()
    return 0


WAYS: tuple[Callable[[Json, random.Random, Case], int], ...] = (
    drop_row,
    drop_row_and_hash,
    hide_row,
    add_row,
    show_other,
    change_state,
    change_state_and_hash,
    change_column,
    swap_rows,
    swap_places,
    cut_end,
    cut_begin,
    other_checkpoint,
    other_question,
    other_hash,
)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", [SEED])
def test_every_change_is_noticed_and_its_place_is_named(
    case: Case, way: Callable[[Json, random.Random, Case], int], seed: int
) -> None:
    print(f"seed {seed}")  # noqa: T201 - shown when it fails.
    rng = random.Random(f"{seed}{way.__name__}")
    clean = case.page(topic="contact.", cursor=5, upto=case.site.node.ledger.head - 2)
    answer.verify(clean, case.known)
    for _ in range(TAMPERINGS // len(WAYS)):
        page = deepcopy(clean)

        place = way(page, rng, case)

        with pytest.raises(Defect) as defect:
            pytest.fail(str(answer.verify(page, case.known)))
        where = defect.value.facts["where"]
        # The root alone says that a range was changed; where a place can be named, it is.
        if place > 0:
            assert where.startswith(f"第 {place} 条"), where
        elif place == 0:
            assert where.startswith(("第 ", "证明")), where


@pytest.mark.parametrize(
    "question",
    [
        {"subject": "449CECA6-1384-59D2-85B9-6EE460E1F77B"},
        {"correlation": "449ceca6138459d285b96ee460e1f77b"},
        {"causation": "449ceca6-1384-59d2-85b9-6ee460e1f77b/01"},
        {"from_day": "20250101"},
        {"person": "王干事 "},
        {"person": "王干事\u200b"},
        {"person": ""},
        {"colour": "red"},
        {"person": None},
    ],
)
def test_a_question_that_only_looks_like_one_is_refused(case: Case, question: Json) -> None:
    page = case.page()
    page["proof"]["question"] = question
    page["proof"]["others"], page["items"] = page["items"], []

    with pytest.raises(Defect) as defect:
        answer.verify(page, case.known)
    assert defect.value.facts["where"] == "证明 proof"


def test_a_key_that_is_not_known_is_not_believed(case: Case) -> None:
    page = case.page()

    for known in ({}, {case.site.code: [case.host.node.keys.verify_key]}):
        with pytest.raises(Defect, match="不通过"):
            answer.verify(page, known)
    with pytest.raises(Defect) as defect:
        answer.verify(page, case.known, 5)
    assert "witnesses" in defect.value.facts["because"]


# The file.


def test_a_file_holds_and_tells_its_story(case: Case) -> None:
    file = case.file(topic="contact.", opened=["notes"])

    held = evidence.verify(file, case.known)

    rows = case.all(topic="contact.")
    assert [made.place + 1 for made, _ in held.proved.rows] == [r["position"] for r in rows]
    assert held.known
    told = "\n".join(account.told(held))
    for word in ("审计证据", "问题 question：事实类型 type=contact.", "密钥已核对", "联系"):
        assert word in told
    assert f"{len(rows)} 条符合" in told
    assert "用途 purpose：审计" in told


def test_of_a_key_on_first_sight_it_says_so(case: Case) -> None:
    told = "\n".join(account.told(evidence.verify(case.file(), {})))

    assert "首次信任" in told


def test_a_peer_has_witnessed_what_it_stands_on(case: Case) -> None:
    until(lambda: "chengdu/witness" in case.site.node.log.witnessed(5).note.decode())

    file = case.file(upto=5)

    held = evidence.verify(file, case.known, witnesses=1)
    assert [witness.org for witness in held.witnesses] == [case.host.code]
    assert "见证 cosigned by chengdu" in "\n".join(account.told(held))
    at = account.moment(held.witnesses[0].at.isoformat())
    assert f"chengdu（{at}）" in printed(case, file)


def test_fields_open_by_class_and_no_further(case: Case) -> None:
    about = {"subject": case.member, "topic": "member."}
    sealed, named = case.file(**about), case.file(**about, opened=["identity"])

    assert "张三" not in "\n".join(account.told(evidence.verify(sealed, case.known)))
    told = "\n".join(account.told(evidence.verify(named, case.known)))
    assert "姓名：张三" in told
    assert "联系电话：（密封 sealed）" in told
    assert "+86139" not in told


def test_a_file_is_recorded_with_the_fields_it_opens(case: Case) -> None:
    file = case.file(subject=case.member, opened=["contact"])

    row = reads(case.site, what="evidence-file")[-1]

    assert (row["act"], row["purpose"], row["outcome"]) == ("export", "audit", "shown")
    assert {"facts", "phone"} <= set(row["fields"])
    assert "name" not in row["fields"]
    held = evidence.verify(file, case.known).proved
    everybody = (*(made for made, _ in held.rows), *held.passed)
    assert row["count"] == len({m.meta.get("subject") for m in everybody} - {None})


def test_a_key_opens_its_row_and_nothing_that_is_passed_over(postgres: EmbeddedServer) -> None:
    with fresh(postgres) as site:
        member = site.post("/members", person())["id"]
        site.post(f"/members/{member}/phone", {"phone": "13955556666"})
        about = {"subject": member, "topic": "member.registered", "opened": ["contact"]}
        wire = site.ask("/history/evidence", **about).content

    held = evidence.verify(wire, {})
    assert list(held.opened.values()) == ["+8613900001234"]
    (key,) = (said for line in wire.splitlines() if "field" in (said := json.loads(line)))
    (later,) = (each for each in held.proved.passed if each.topic == "member.phone_recorded")
    place = {"stream": str(later.stream), "version": later.version}
    with pytest.raises(Defect, match="not that of phone"):
        show({**key, **place}, "here", {(later.stream, later.version): later}, {})


@pytest.mark.slow
def test_what_is_closed_stays_sealed(postgres: EmbeddedServer) -> None:
    with fresh(postgres) as site:
        member = site.post("/members", person())["id"]
        over = {"how": "died", "document": "证明", "on": "2020-01-01"}
        site.post(f"/members/{member}/end", over)
        asked = {"member": member, "ground": "deceased", "classes": ["contact"]}
        site.post("/erasures", asked)

        file = site.ask("/history/evidence", subject=member, opened=["contact", "identity"])

    told = "\n".join(account.told(evidence.verify(file.content, {})))
    assert "姓名：张三" in told
    assert "联系电话：（密封 sealed）" in told


def test_a_range_is_named_by_moments(case: Case) -> None:
    rows = case.all()
    moments = {"entered_from": rows[4]["entered_at"], "entered_to": rows[11]["entered_at"]}

    held = evidence.verify(case.file(**moments), case.known).proved

    shown = [made.place for made, _ in held.rows]
    entered = {row["position"] - 1: row["entered_at"] for row in rows}
    within = [
        p for p, at in entered.items() if rows[4]["entered_at"] < at <= rows[11]["entered_at"]
    ]
    assert shown == within


@pytest.mark.slow
def test_a_stranger_verifies_it_by_the_page_alone(case: Case) -> None:
    rng = random.Random(SEED)
    size = case.site.node.ledger.head
    for _ in range(20):
        question, after = case.question(rng), rng.randrange(size + 1)
        file = case.file(**question, cursor=after, upto=rng.randrange(after, size + 1))

        rows = strange_evidence.verify(file, case.site.node.keys.verify_key)

        assert rows == len(evidence.verify(file, case.known).proved.rows)


def test_a_range_that_is_too_wide_is_refused(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issue, "ENTRIES_MAX", 5)
    told = problem(case.site.ask("/history/evidence"), 422, "range-too-wide")
    assert told["maximum"] == 5
    assert len(evidence.verify(case.file(upto=5), case.known).proved.rows) == 5
    monkeypatch.undo()
    monkeypatch.setattr(issue, "EVIDENCE_BYTES", 20_000)
    problem(case.site.ask("/history/evidence", upto=15), 422, "range-too-wide")
    problem(case.site.ask("/history/evidence"), 422, "range-too-wide")


def test_policies_and_meanings_are_in_the_file(case: Case) -> None:
    held = evidence.verify(case.file(topic="contact.", org=case.site.code), case.known)

    assert [made.topic for made in held.facts if made.topic.startswith("policy.")]
    assert evidence.word(held, "topics", "contact.made") == "联系"
    assert evidence.word(held, "columns", "person") == "经办人"
    assert evidence.word(held, "topics", "nobody.knows") == "nobody.knows"


def test_every_column_type_and_field_has_its_meaning() -> None:
    said = definitions({})

    assert set(COLUMNS) == {*HISTORY.columns, "state"}
    assert set(said["topics"]) == set(FACTS)
    assert set(said["terms"]) == set(Terms.model_fields)
    for topic, meaning in said["topics"].items():
        assert meaning["name"]
        assert not meaning["name"].isascii(), topic
        assert set(meaning["fields"]) == set(field_names(topic))
        assert not any(each["name"].isascii() for each in meaning["fields"].values())


def test_several_files_are_one_answer(case: Case, run: Run, tmp_path: Path) -> None:
    size = case.site.node.log.checkpoint(case.site.node.ledger.head).size
    cuts = {"a": (0, 9), "b": (9, 20), "c": (20, size), "d": (21, size)}
    for name, (cursor, upto) in cuts.items():
        made = case.file(topic="contact.", cursor=cursor, upto=upto, size=size)
        (tmp_path / name).write_bytes(made)
    (tmp_path / "e").write_bytes(case.file(topic="member.", cursor=9, size=size))

    def verified(*names: str) -> Any:
        return run("verify", *(tmp_path / name for name in names))

    assert verified("a", "b", "c").code == 0
    assert "第 3 份" in verified("a", "b", "d").sentence
    assert "does not begin" in verified("b", "a").sentence
    assert "another question" in verified("a", "e").sentence
    case.site.post("/members", person())
    (tmp_path / "f").write_bytes(case.file(topic="contact.", cursor=9))
    assert "another checkpoint" in verified("a", "f").sentence


# A file that was changed.


@pytest.mark.slow
@pytest.mark.parametrize("seed", [SEED])
def test_every_change_of_a_byte_is_noticed(case: Case, seed: int) -> None:
    print(f"seed {seed}")  # noqa: T201 - shown when it fails.
    rng, file = random.Random(seed), case.file(topic="contact.", opened=["notes"])
    for _ in range(TAMPERINGS):
        changed, at = bytearray(file), rng.randrange(len(file))
        match rng.randrange(3):
            case 0:
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                del changed[at : at + rng.randrange(1, 40)]
            case _:
                changed[at:at] = bytes([rng.randrange(256)])
        with pytest.raises(Defect) as defect:
            pytest.fail(str(evidence.verify(bytes(changed), case.known).claim))
        assert defect.value.facts["where"]


@pytest.mark.parametrize("seed", [SEED])
def test_whole_lines_are_not_cut_swapped_or_added(case: Case, seed: int) -> None:
    print(f"seed {seed}")  # noqa: T201 - shown when it fails.
    rng = random.Random(seed)
    rows = case.file(person="王干事").splitlines(keepends=True)
    for _ in range(TAMPERINGS // 3):
        changed, at = list(rows), rng.randrange(len(rows))
        match rng.randrange(3):
            case 0:
                del changed[at]
            case 1:
                other = (at + rng.randrange(1, len(rows))) % len(rows)
                changed[at], changed[other] = changed[other], changed[at]
            case _:
                changed.insert(rng.randrange(len(rows)), changed[at])
        if changed == rows:
            continue
        with pytest.raises(Defect):
            evidence.verify(b"".join(changed), case.known)


def signed_again(site: Site, said: list[Json]) -> bytes:
    """A file that its own organization has forged: all of it is signed properly."""
    body = b"".join(map(write_json, said))
    signature = b64(site.node.keys.sign(evidence.signed_text(body)))
    return body + write_json({"signatures": {site.node.keys.verify_key: signature}})


@pytest.mark.parametrize("name", ["after", "upto", "index", "position", "version"])
@pytest.mark.parametrize("number", [-1, int("9" * 4300), True, 1.0, None])
def test_numbers_of_no_ledger_are_refused(case: Case, name: str, number: Any) -> None:
    said = [json.loads(line) for line in case.file(upto=9).splitlines()[:-1]]
    holders = [said[0], *(line[kind] for line in said for kind in ("fact", "row") if kind in line)]
    next(each for each in holders if name in each)[name] = number

    with pytest.raises(Defect):
        evidence.verify(signed_again(case.site, said), case.known)


def left_out(said: list[Json]) -> int:
    at = next(n for n, line in enumerate(said) if "row" in line)
    position = said[at]["row"]["position"]
    del said[at]
    return int(position)


def passed_over(said: list[Json]) -> int:
    line = next(line for line in said if "row" in line)
    row = line.pop("row")
    names = ("position", "stream", "version", "topic", "state")
    line["passed"] = {name: row[name] for name in names}
    return int(row["position"])


def retold(said: list[Json]) -> int:
    row = next(line["row"] for line in said if "row" in line)
    row["person"] = "somebody"
    return int(row["position"])


def widened(said: list[Json]) -> int:
    """More is said to be covered than is."""
    said[0]["upto"] += 1
    return int(said[0]["upto"])


def asked_otherwise(said: list[Json]) -> int:
    said[0]["question"] = {"topic": "contact.visited"}
    return int(next(line["row"]["position"] for line in said if "row" in line))


@pytest.mark.parametrize("lie", [left_out, passed_over, retold, widened, asked_otherwise])
def test_a_node_cannot_sign_what_its_ledger_does_not_hold(
    case: Case, lie: Callable[[list[Json]], int]
) -> None:
    upto = case.site.node.ledger.head - 1
    file = case.file(topic="contact.made", upto=upto)
    said = [json.loads(line) for line in file.splitlines()[:-1]]
    assert evidence.verify(signed_again(case.site, said), case.known)

    place = lie(said)

    with pytest.raises(Defect) as defect:
        evidence.verify(signed_again(case.site, said), case.known)
    assert defect.value.facts["where"].startswith(f"第 {place} 条")


@pytest.mark.slow
def test_it_holds_by_the_key_before_a_change_of_keys(postgres: EmbeddedServer) -> None:
    with fresh(postgres) as site:
        absent(site)
        before = {site.code: [site.node.keys.verify_key]}
        size = site.node.log.checkpoint(site.node.ledger.head).size
        site.post("/keys/rotate", {"second": "李"})
        after = {site.code: [site.node.keys.verify_key]}

        file = site.ask("/history/evidence", upto=size).content
        older = site.ask("/history/evidence", size=size)

    for known in (before, after):
        held = evidence.verify(file, known)
        assert held.known
        assert [link.how for link in held.chain.links] == ["opened", "rotated"]
        assert held.claim.stretch.upto == size
    with pytest.raises(Defect):
        evidence.verify(file, {site.code: [b64(bytes(32))]})
    problem(older, 422, "keys-changed-since")


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/history/evidence", "/outflows/{outflow}/passport"])
def test_a_revoked_key_signs_no_file_while_peers_have_not_heard(
    postgres: EmbeddedServer, path: str
) -> None:
    with fresh(postgres) as site, fresh(postgres, **HOST) as host:
        meet(site, host)
        host.stop()
        _, outflow = absent(site)
        said = {"reason": "被盗", "second_person": "李"}
        site.post("/keys/revoke", said, Waystation_Person="王")
        assert len(site.node.keys.signers) == 2

        answer = site.ask(path.format(outflow=outflow))

        assert answer.status_code == 200, answer.text
        known = {site.code: [site.node.keys.verify_key]}
        check = passport if "passport" in path else evidence
        check.verify(answer.content, known)


# On paper.


def printed(case: Case, file: bytes) -> str:
    found = case.site.http.post("/history/report", content=file)
    assert found.status_code == 200, found.text
    assert "default-src 'none'" in found.headers["Content-Security-Policy"]
    return found.text


def test_a_report_shows_question_rows_digest_and_checkpoint(case: Case) -> None:
    file = case.file(topic="contact.", opened=["notes"])

    page = printed(case, file)

    held = evidence.verify(file, case.known)
    for said in (
        "审计证据报告",
        "酒泉市委组织部",
        "事实类型 type=contact.",
        held.digest,
        held.claim.checkpoint.root.hex(),
        held.chain.fingerprint,
        "waystation verify",
        "联系（contact.made）",
        "酒泉市驻成都联络服务站（chengdu） officer",
        "联系间隔天数 7",
        f"{len(held.proved.rows)} 条符合",
    ):
        assert said in page
    assert page.count("<tr><td>") == len(held.proved.rows)


def test_what_a_file_says_is_no_markup(case: Case) -> None:
    page = printed(case, case.file(person="<b>赵</b>&", topic="contact."))

    assert "&lt;b&gt;赵&lt;/b&gt;&amp;" in page
    assert "<b>" not in page
    assert "<script" not in page


def test_printing_is_recorded_as_a_print(case: Case) -> None:
    file = case.file(subject=case.member, opened=["contact"])
    printed(case, file)

    row = reads(case.site, what="evidence-report")[-1]

    assert (row["act"], row["count"]) == ("print", 1)
    assert "phone" in row["fields"]
    assert "name" not in row["fields"]


def test_only_a_file_of_this_node_that_holds_is_printed(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = case.host.ask("/history/evidence").content
    ours = case.file(topic="contact.")
    for file in (theirs, ours[:-5], ours.replace(b"officer", b"offjcer", 1), b""):
        problem(case.site.http.post("/history/report", content=file), 422, "defect")
    monkeypatch.setattr(report, "ROWS_MAX", 2)
    problem(case.site.http.post("/history/report", content=ours), 422, "too-many-to-print")


# The command line.


def test_the_command_line_exports_verifies_and_prints(case: Case, run: Run, tmp_path: Path) -> None:
    file, page, card = tmp_path / "a.evidence", tmp_path / "a.html", tmp_path / "our.card"
    card.write_text(case.site.card()[0])
    url = ("--url", case.site.url)

    made = run("evidence", "export", file, "--actor", "王干事", "--report", page, *url)
    again = run("evidence", "print", file, tmp_path / "b.html", *url)
    said = run("verify", file, "--card", card)

    assert (made.code, again.code, said.code) == (0, 0, 0), made.err + again.err + said.err
    assert "经办人 person=王干事" in said.out
    assert "密钥已核对" in said.out
    assert page.read_text() == (tmp_path / "b.html").read_text()
    file.write_bytes(file.read_bytes().replace(b"2025-03-01", b"2025-03-02", 1))
    assert "第" in run("verify", file, "--card", card).sentence


def test_saved_answers_are_verified_too(case: Case, run: Run, tmp_path: Path) -> None:
    page, why, card = (tmp_path / name for name in ("page.json", "why.json", "our.card"))
    card.write_text(case.site.card()[0])
    url = ("--url", case.site.url)
    page.write_text(run("audit", "history", "--topic", "contact.", "--proof", *url).out)
    why.write_text(run("audit", "explain", "roster", case.outflow, "phone", *url).out)

    for saved, word in ((page, "type=contact."), (why, "roster.phone = +8613900007777")):
        told = run("verify", saved, "--card", card)
        assert told.code == 0, told.err
        assert word in told.out
        assert "key" in run("verify", saved).sentence
        saved.write_text(saved.read_text().replace("officer", "offjcer"))
        assert "第" in run("verify", saved, "--card", card).sentence


# An explanation.


def explanation(case: Case) -> Json:
    found: Json = case.site.get(f"/explain/roster/{case.outflow}/phone")
    return found


def test_each_fact_behind_a_value_is_proved(case: Case) -> None:
    said = explanation(case)

    proved = explained.verify(said, case.known)

    shown = [each["fact"] for each in said["because"]]
    assert [made.place + 1 for made in proved.facts] == [fact["position"] for fact in shown]
    assert proved.value == "+8613900007777"
    assert len(shown) == 2


def test_the_edition_of_the_policy_is_proved(case: Case) -> None:
    said = case.site.get(f"/explain/due/{case.outflow}/next_due")

    proved = explained.verify(said, case.known)

    assert proved.facts[-1].topic == "policy.adopted"


@pytest.mark.parametrize("name", ["state", "position", "version", "person", "inclusion", "by"])
def test_a_changed_fact_behind_a_value_is_noticed(case: Case, name: str) -> None:
    said = explanation(case)
    fact = said["because"][0]["fact"]
    fact[name] = {
        "state": fact["state"].replace("officer", "offjcer"),
        "position": fact["position"] + 1,
        "version": fact["version"] + 1,
        "person": "somebody",
        "inclusion": fact["inclusion"][1:],
        "by": "somebody",
    }[name]

    with pytest.raises(Defect) as defect:
        explained.verify(said, case.known)
    assert defect.value.facts["where"].startswith("第")


def test_marks_are_those_that_can_be_asked_for() -> None:
    assert set(complete.MARKS) == set(proving.Marks.model_fields) == set(account.MARKS)
