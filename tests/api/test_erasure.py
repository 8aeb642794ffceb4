"""删除: closed at once, destroyed everywhere, answered by everybody, and never brought back."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import StoredEvent
from psycopg import sql

from api import erasure_board as board
from api.audit.auditor import Auditor
from api.audit.reading import Reader
from api.erasure import eraser as eraser_module
from api.erasure import extending
from api.erasure.closing import SCRUBBED
from api.erasure.eraser import Asking
from api.node import Node
from api.service import Who
from api.storage.server import EmbeddedServer
from domain.commands import (
    ApproveTransfer,
    CloseOutflow,
    Command,
    ExtendErasure,
    FindMember,
    KeepInstead,
    LiftRestriction,
    OfferCare,
    RecognizeClaim,
    RecordContact,
    RecordInflowDetails,
    RecordPhone,
    RecordReturn,
    RefuseErasure,
    RequestErasure,
    RequestTransfer,
    RestrictProcessing,
    SendTransfer,
)
from domain.destruction import Destruction
from domain.erasure import Erasure, State, StillInCare
from domain.extension import FollowsAnother
from domain.inflow import Inflow
from domain.member import Member
from domain.outflow import Outflow
from domain.records import digest
from domain.sealing import Closure, PersonClosed, purpose
from domain.tree import included, ours
from domain.values import DataClass
from projections.erasing import HOLDING, MODELS
from sync import destroyed
from sync.book_given import Given
from sync.errors import Forged, Unknown
from sync.keys import NodeKeys, verify
from tests.support.federation import (
    CHENGDU,
    EVERYTHING,
    HOST_MAY_OPEN,
    ORIGIN,
    SHENZHEN,
    accept,
    depart,
    register,
)
from tests.support.stage import Stage, Staged, stage
from tests.sync.reconciling import Two
from tests.sync.test_affiliation import admit, give_slip, moved

ALL = tuple(DataClass)
WUHAN = "wuhan"
LAW = {"reason": "案件审理中", "basis": "民事诉讼法", "until": date(2028, 1, 1)}
NAME, PHONE, ADDRESS = "欧阳金丝雀", "+8613900001234", "成都市金丝雀路一号"
NOTES, LATER, FAMILY = "金丝雀的情况良好", "+8613900005678", "金丝雀的家人"
CANARIES = (NAME, "13900001234", ADDRESS, NOTES, "13900005678", FAMILY, "620902197702264860")


@pytest.fixture(scope="module")
def theatre(postgres: EmbeddedServer) -> Iterator[Stage]:
    """One stage for this file."""
    with stage(postgres.url, "erasure") as made:
        yield made


@pytest.fixture
def town(theatre: Stage, tmp_path: Path) -> Iterator[Staged]:
    """The origin and two stations, with the slots of their keys in files."""
    theatre.empty()
    with ExitStack() as stack:
        yield founded(theatre, stack, tmp_path)


def founded(theatre: Stage, stack: ExitStack, folder: Path) -> Staged:
    """The three on an empty stage."""
    made = Staged(theatre, stack)
    for code in (ORIGIN, CHENGDU, SHENZHEN):
        (folder / code).mkdir()
        theatre.vaults[code] = folder / code
        made.found(code, "department" if code == ORIGIN else "station")
    made.acquaint(ORIGIN, CHENGDU, EVERYTHING)
    made.acquaint(ORIGIN, SHENZHEN, HOST_MAY_OPEN)
    return made


def history(town: Staged) -> tuple[UUID, UUID]:
    """A member who went to Chengdu, of whom both sides have said something, and came back."""
    member = register(town[ORIGIN], name=NAME, phone=PHONE, family=FAMILY)
    outflow = depart(town[ORIGIN], member, remark=NOTES)
    town.settle()
    town[ORIGIN].execute(OfferCare(outflow=outflow, host=CHENGDU))
    town.settle()
    inflow = accept(town[CHENGDU], outflow).id
    town.settle()
    town[CHENGDU].execute(RecordInflowDetails(inflow=inflow, phone=LATER, address=ADDRESS))
    town[CHENGDU].execute(
        RecordContact.model_validate(
            {
                "outflow": outflow,
                "on": date(2025, 6, 1),
                "method": "phone",
                "reached": True,
                "by": "李干事",
                "condition": NOTES,
            }
        )
    )
    town.settle()
    town[ORIGIN].execute(RecordReturn(outflow=outflow, returned_on=date(2025, 9, 1)))
    town.settle()
    return member, outflow


def ask(town: Staged, member: UUID, code: str = ORIGIN, classes: Any = ALL) -> UUID:
    """Ask to erase; the id of the request."""
    who = Who(person="wang")
    asked = town[code].eraser.request(Asking(member, "consent_withdrawn", classes), who)
    return asked.id


def erase(town: Staged, member: UUID, code: str = ORIGIN, classes: Any = ALL) -> UUID:
    """Ask, grant, and let everybody answer."""
    erasure = ask(town, member, code, classes)
    town[code].eraser.grant(erasure, Who(person="li"))
    town.settle()
    return erasure


def shown(town: Staged, code: str, erasure: UUID) -> dict[str, Any]:
    """One erasure on a node's board."""
    return board.told(town[code], town[code].ledger.look_up(Erasure, erasure))


def holders(town: Staged, erasure: UUID, code: str = ORIGIN) -> dict[str, str | None]:
    """By organization, what it has answered."""
    return {each["org"]: each["answer"] for each in shown(town, code, erasure)["holders"]}


def everything(node: Node) -> str:
    """Every table of a node as text."""
    with node.database.connection() as conn:
        names = conn.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        ).fetchall()
        found = []
        for (name,) in names:
            with conn.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(name))) as c:
                found += [bytes(chunk).decode() for chunk in c]
    return "\n".join(found)


def traces(node: Node) -> list[str]:
    """Which canaries stand in a node's tables, or the marks by which they are searched."""
    said = everything(node)
    marks = (node.keyring.mark("phone", each).hex() for each in (PHONE, LATER))
    return [each for each in (*CANARIES, *marks) if each in said]


def rows(node: Node) -> dict[str, list[dict[str, Any]]]:
    """What the read models that hold personal data say."""
    return {
        shared.name: node.database.rows(f"SELECT * FROM {shared.name} ORDER BY 1", {})
        for shared in HOLDING
    }


def lanes(node: Node) -> list[Any]:
    """Every number and root of the lanes that lead away from a node."""
    with node.database.connection() as conn:
        return conn.execute(
            "SELECT peer, number, encode(root, 'hex') FROM lane_out ORDER BY 1, 2"
        ).fetchall()


def digests(node: Node, until: int) -> list[Any]:
    with node.database.connection() as conn:
        return conn.execute(
            "SELECT notification_id, sha256(state) FROM stored_events"
            " WHERE notification_id <= %s ORDER BY 1",
            (until,),
        ).fetchall()


class After(NamedTuple):
    """What stood before a person was erased, and the nodes after it."""

    town: Staged
    member: UUID
    outflow: UUID
    erasure: UUID
    held: set[UUID]
    """The keys of the person at the host."""
    heads: dict[str, int]
    proved: dict[str, tuple[list[Any], list[Any]]]
    responsible: dict[str, Any]
    trees: dict[str, tuple[int, bytes, list[bytes]]]
    """The size and root of each ledger's tree, and the proof that the member's file is in it."""


@pytest.fixture(scope="module")
def after(postgres: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[After]:
    """A person erased once, for the tests that look at it and change nothing."""
    with ExitStack() as stack:
        made = stack.enter_context(stage(postgres.url, "erased"))
        town = founded(made, stack, tmp_path_factory.mktemp("erased"))
        member, outflow = history(town)
        with town[CHENGDU].database.connection() as conn:
            keys = conn.execute("SELECT id FROM subject_key WHERE subject = %s", (member,))
            held = {key for (key,) in keys.fetchall()}
        heads = {code: town[code].ledger.head for code in (ORIGIN, CHENGDU)}
        proved = {code: (lanes(town[code]), digests(town[code], heads[code])) for code in heads}
        known = responsible(town, outflow)
        trees = {code: proof_of(town[code], member) for code in heads}
        erasure = erase(town, member)
        yield After(town, member, outflow, erasure, held, heads, proved, known, trees)


def proof_of(node: Node, member: UUID) -> tuple[int, bytes, list[bytes]]:
    """The size and root of a ledger's tree, and the proof that a member's file is in it."""
    assert node.log.sign()
    size = node.log.checkpoint().size
    return size, node.log.root(size), node.log.inclusion(node.log.position(member, 1), size)


def responsible(town: Staged, outflow: UUID) -> dict[str, Any]:
    """Who was responsible on a day, as the auditor asks."""
    auditor = Auditor(Reader(town[ORIGIN]))
    return auditor.responsible(outflow, date(2025, 6, 1))


# Closed at once.


@pytest.mark.slow
def test_before_it_everybody_knows_him(town: Staged) -> None:
    history(town)

    plain = [NAME, "13900001234", ADDRESS, "13900005678", CANARIES[-1]]
    marks = [town[ORIGIN].keyring.mark("phone", each).hex() for each in (PHONE, LATER)]
    assert traces(town[ORIGIN]) == plain + marks
    assert NAME in traces(town[CHENGDU])


@pytest.mark.slow
def test_when_the_request_is_recorded_nothing_opens_or_is_shown_here(town: Staged) -> None:
    member, _ = history(town)
    auditor = Auditor(Reader(town[ORIGIN]))

    ask(town, member)

    assert traces(town[ORIGIN]) == []
    trail = auditor.trail(member, "phone")
    assert {each["value"] for each in trail} == {"已封存"}
    assert len(trail) == 2
    with pytest.raises(PersonClosed):
        town[ORIGIN].execute(RecordPhone(member=member, phone="13900009999"))


def test_a_batch_that_was_projected_late_opens_nothing(town: Staged) -> None:
    member = register(town[ORIGIN], name=NAME, phone=PHONE)

    ask(town, member)
    town[ORIGIN].projector.catch_up()

    assert traces(town[ORIGIN]) == []


@pytest.mark.slow
def test_peers_that_may_hold_a_key_close_too_and_grants_stop(town: Staged) -> None:
    member, _ = history(town)

    erasure = ask(town, member)
    town.settle()

    assert traces(town[CHENGDU]) == []
    assert shown(town, ORIGIN, erasure)["state"] is State.REQUESTED
    node = town[ORIGIN]
    with node.database.connection() as conn:
        keys = conn.execute("SELECT id FROM subject_key WHERE subject = %s", (member,)).fetchall()
    assert keys
    assert all(node.keyring.key(key) is None for (key,) in keys)


@pytest.mark.slow
def test_a_request_that_is_refused_opens_again_everywhere(town: Staged) -> None:
    member, _ = history(town)
    before = {code: rows(town[code]) for code in (ORIGIN, CHENGDU)}
    erasure = ask(town, member)
    town.settle()

    town[ORIGIN].eraser.carry(RefuseErasure(erasure=erasure, reason="身份未核实"), Who())
    town.settle()

    assert {code: rows(town[code]) for code in (ORIGIN, CHENGDU)} == before
    assert town[ORIGIN].keyring.any_closed is town[CHENGDU].keyring.any_closed is False


# Destroyed everywhere.


def test_every_holder_destroys_and_says_so_and_it_is_done(after: After) -> None:
    assert shown(after.town, ORIGIN, after.erasure)["state"] is State.COMPLETED
    assert holders(after.town, after.erasure) == {ORIGIN: "已销毁", CHENGDU: "已销毁"}
    for code in (ORIGIN, CHENGDU):
        node = after.town[code]
        assert traces(node) == []
        with node.database.connection() as conn:
            left = conn.execute(
                "SELECT count(*) FROM subject_key WHERE subject = %s", (after.member,)
            )
            assert left.fetchone() == (0,)


def test_the_receipts_name_the_keys_of_whoever_minted_them(after: After) -> None:
    answer = after.town[ORIGIN].ledger.look_up(
        Destruction, Destruction.id_of(after.erasure, CHENGDU)
    )

    assert answer.done is not None
    assert set(answer.done.keys) == after.held
    assert answer.done.passed_to == ()


@pytest.mark.slow
def test_the_board_shows_who_has_not_answered_and_since_when_and_so_does_an_alarm(
    town: Staged,
) -> None:
    member, _ = history(town)
    erasure = ask(town, member)
    town[ORIGIN].eraser.grant(erasure, Who(person="li"))
    town[ORIGIN].settle()

    chengdu = shown(town, ORIGIN, erasure)["holders"][1]
    assert (chengdu["org"], chengdu["answer"], chengdu["heard"]) == (CHENGDU, None, False)
    assert chengdu["open_since"] == town.clock.now
    assert board.alarms(town[ORIGIN]) == []

    town.clock.pass_(days=2)
    (alarm,) = board.alarms(town[ORIGIN])
    assert (alarm["rule"], alarm["org"], alarm["days"]) == ("erasure-unanswered", CHENGDU, 2)

    town.settle()
    assert board.alarms(town[ORIGIN]) == []
    assert shown(town, ORIGIN, erasure)["holders"][1]["open_since"] is None


@pytest.mark.slow
def test_a_request_nobody_answers_becomes_an_alarm(town: Staged) -> None:
    member, _ = history(town)
    erasure = ask(town, member)

    town.clock.pass_(days=board.REQUEST_DAYS, seconds=1)

    (alarm,) = board.alarms(town[ORIGIN])
    assert (alarm["rule"], alarm["erasure"]) == ("erasure-undecided", erasure)


def test_nobody_is_erased_while_he_is_away(town: Staged) -> None:
    member = register(town[ORIGIN], name=NAME)
    depart(town[ORIGIN], member)
    erasure = ask(town, member)

    with pytest.raises(StillInCare):
        town[ORIGIN].eraser.grant(erasure, Who(person="li"))


class Chain(NamedTuple):
    """A member of Wuhan, who came from the origin by way of Chengdu: Wuhan knows Chengdu alone."""

    file: UUID
    """Wuhan's."""
    person: UUID
    first: UUID
    """The origin's file."""


def chain(town: Staged) -> Chain:
    """Two transfers, with what follows the member."""
    first, transfer = moved(town)
    admit(town, transfer)
    give_slip(town, transfer)
    town.found(WUHAN)
    town.acquaint(CHENGDU, WUHAN, EVERYTHING)
    transfer = send_on(town, CHENGDU, WUHAN)
    admit(town, transfer, WUHAN)
    give_slip(town, transfer, WUHAN)
    known = town[WUHAN].ledger.look_up(Member, file_of(town, WUHAN))
    return Chain(known.id, known.person, first)


def file_of(town: Staged, code: str) -> UUID:
    """The one file that an organization keeps itself."""
    query = "SELECT member FROM roster_person WHERE keeper = %(code)s"
    ((row),) = town[code].database.rows(query, {"code": code})
    file: UUID = row["member"]
    return file


def exchange(town: Staged, *codes: str) -> None:
    """Let these alone work until nothing moves any more between them."""
    moved = True
    while moved:
        for code in codes:
            town[code].settle()
        moved = any(town.carry(one, other) for one in codes for other in codes if one != other)


def keys_of(node: Node, person: UUID) -> list[Any]:
    """The keys of a person that a node holds."""
    return node.database.rows("SELECT id FROM subject_key WHERE subject = %(s)s", {"s": person})


def closures(node: Node, person: UUID) -> set[Closure | None]:
    """Why a person's data do not open at a node."""
    return {node.keyring.closed(person, each) for each in ALL}


def extensions(town: Staged, code: str) -> list[Erasure]:
    """What an organization has asked on behalf of another, oldest first."""
    ours = (each for each in town[code].eraser.erasures() if each.keeper == code and each.extends)
    return sorted(ours, key=lambda each: each.requested.meta.recorded_at if each.requested else 0)


def say(town: Staged, command: Command) -> None:
    """The second officer's answer, and all that follows from it everywhere."""
    town[WUHAN].eraser.carry(command, Who(person="li"))
    town.clock.pass_(minutes=1)
    town.settle()


def send_on(town: Staged, giver: str, taker: str) -> UUID:
    """A transfer of the one member of the giver's own, on its way."""
    transfer = town[giver].execute(RequestTransfer(member=file_of(town, giver), to=taker)).id
    for level, person in (("branch", "one"), ("committee", "two")):
        town[giver].execute(ApproveTransfer(transfer=transfer, level=level), person=person)
    town[giver].execute(SendTransfer(transfer=transfer, dues_paid_to=date(2026, 1, 5)))
    town.settle()
    return transfer


def named(node: Node, member: UUID) -> Any:
    """The name a node shows of one file."""
    query = "SELECT name FROM roster_person WHERE member = %(member)s"
    ((row),) = node.database.rows(query, {"member": member})
    return row["name"]


@pytest.mark.slow
def test_who_had_keys_from_a_holder_is_asked_by_that_holder_and_awaited(town: Staged) -> None:
    file, person, first = chain(town)
    assert named(town[ORIGIN], first) is not None

    erasure = erase(town, file, WUHAN)

    known = town[WUHAN].ledger.look_up(Erasure, erasure)
    assert (known.state, known.asked) == (State.COMPLETED, (CHENGDU,))
    holder = shown(town, WUHAN, erasure)["holders"][1]
    assert (holder["passed_to"], holder["awaited"]) == ((ORIGIN,), ())
    assert named(town[ORIGIN], first) is None
    assert all(keys_of(town[code], person) == [] for code in (ORIGIN, CHENGDU, WUHAN))
    town.clock.pass_(days=2)
    assert all(board.alarms(town[code]) == [] for code in (ORIGIN, CHENGDU, WUHAN))


@pytest.mark.slow
def test_what_goes_round_among_holders_is_asked_once_of_each(town: Staged) -> None:
    """The origin had keys from Chengdu, and Chengdu from the origin."""
    erase(town, chain(town).file, WUHAN)

    asked = {code: [e.audience for e in extensions(town, code)] for code in (ORIGIN, CHENGDU)}
    assert asked == {ORIGIN: [], CHENGDU: [(ORIGIN,)]}


@pytest.mark.slow
def test_what_a_holder_tells_of_another_is_signed_by_the_other(town: Staged) -> None:
    erasure = erase(town, chain(town).file, WUHAN)

    answer = town[WUHAN].eraser.answer(town[WUHAN].ledger.look_up(Erasure, erasure), CHENGDU)

    assert answer is not None
    told = answer.extended[ORIGIN]
    assert told.signature is not None
    assert told.keys
    message = destroyed.text(told.erasure, told.requester, ORIGIN, told.keys, told.passed_to)
    key = town[ORIGIN].keys.verify_key
    assert verify(key, message, base64.b64decode(told.signature))
    # Who knows the other verifies it; unsigned, nobody takes it.
    destroyed.check(told, CHENGDU, town[CHENGDU].ledger)
    with pytest.raises(Forged):
        destroyed.check(told.model_copy(update={"keys": ()}), CHENGDU, town[CHENGDU].ledger)
    with pytest.raises(Forged):
        destroyed.check(told.model_copy(update={"signature": None}), CHENGDU, town[WUHAN].ledger)


@pytest.mark.slow
def test_an_extension_that_is_not_ours_keeps_us_from_asking_nobody(town: Staged) -> None:
    file, person, _ = chain(town)
    erasure = ask(town, file, WUHAN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extending, "EXTENSIONS_MAX", 0)
        exchange(town, WUHAN, CHENGDU)
    theirs = town[CHENGDU].ledger.look_up(Erasure, erasure)
    claimed = Erasure(Erasure.id_of(person, WUHAN, 2), WUHAN)
    claimed.subject, claimed.classes = person, theirs.classes
    claimed.extends, claimed.audience = erasure, (ORIGIN,)

    (asked,) = town[CHENGDU].eraser._extending._asking(theirs, [theirs, claimed])  # noqa: SLF001

    assert isinstance(asked, ExtendErasure)
    assert asked.hearers == (ORIGIN,)


@pytest.mark.slow
def test_until_who_had_keys_from_a_holder_has_answered_it_is_open_and_alarmed(
    town: Staged,
) -> None:
    file, *_ = chain(town)
    erasure = ask(town, file, WUHAN)
    town[WUHAN].eraser.grant(erasure, Who(person="li"))

    exchange(town, WUHAN, CHENGDU)

    assert shown(town, WUHAN, erasure)["state"] is State.GRANTED
    holder = shown(town, WUHAN, erasure)["holders"][1]
    assert (holder["answer"], holder["awaited"]) == ("已销毁", (ORIGIN,))
    assert holder["open_since"] is not None
    town.clock.pass_(days=2)
    for code, rule in ((WUHAN, "erasure-passed-on"), (CHENGDU, "erasure-unanswered")):
        assert [(a["rule"], a["org"]) for a in board.alarms(town[code])] == [(rule, ORIGIN)], code

    town.settle()
    assert shown(town, WUHAN, erasure)["state"] is State.COMPLETED


@pytest.mark.slow
def test_who_had_keys_from_a_holder_may_keep_by_law_and_the_asker_learns_it(town: Staged) -> None:
    file, person, _ = chain(town)
    erasure = ask(town, file, WUHAN)
    town.settle()
    (asked,) = extensions(town, CHENGDU)
    assert (asked.extends, asked.state) == (erasure, State.REQUESTED)
    assert closures(town[ORIGIN], person) == {Closure.HELD}
    town[ORIGIN].eraser.carry(KeepInstead(erasure=asked.id, **LAW), Who())

    town[WUHAN].eraser.grant(erasure, Who(person="li"))
    town.settle()

    known = town[WUHAN].ledger.look_up(Erasure, erasure)
    assert (known.state, known.kept_by) == (State.COMPLETED, (ORIGIN,))
    holder = shown(town, WUHAN, erasure)["holders"][1]
    assert (holder["answer"], holder["kept_beyond"]) == ("已销毁", [ORIGIN])


@pytest.mark.slow
def test_a_holder_that_keeps_by_law_asks_further_all_the_same(town: Staged) -> None:
    file, person, _ = chain(town)
    erasure = ask(town, file, WUHAN)
    town.settle()
    town[CHENGDU].eraser.carry(KeepInstead(erasure=erasure, **LAW), Who())

    town[WUHAN].eraser.grant(erasure, Who(person="li"))
    exchange(town, WUHAN, CHENGDU)
    assert shown(town, WUHAN, erasure)["state"] is State.COMPLETED
    town.settle()

    assert closures(town[CHENGDU], person) == {Closure.RESTRICTED}
    assert keys_of(town[ORIGIN], person) == []
    (extension,) = extensions(town, CHENGDU)
    assert extension.state is State.COMPLETED
    answer = town[WUHAN].eraser.answer(town[WUHAN].ledger.look_up(Erasure, erasure), CHENGDU)
    assert answer is not None
    assert answer.extended.keys() == {ORIGIN}


@pytest.mark.slow
def test_what_is_refused_or_restricted_is_so_for_who_had_keys_from_a_holder(town: Staged) -> None:
    file, person, _ = chain(town)

    refused = ask(town, file, WUHAN)
    town.settle()
    assert closures(town[ORIGIN], person) == {Closure.HELD}
    say(town, RefuseErasure(erasure=refused, reason="仍需履职"))
    assert closures(town[ORIGIN], person) == {None}

    kept = ask(town, file, WUHAN)
    say(town, RestrictProcessing(erasure=kept, **LAW, purposes=("办案",)))
    assert closures(town[ORIGIN], person) == {Closure.RESTRICTED}
    say(town, LiftRestriction(erasure=kept, reason="已结案"))
    assert closures(town[ORIGIN], person) == {None}

    assert [each.state for each in extensions(town, CHENGDU)] == [State.REFUSED, State.LIFTED]


@pytest.mark.slow
def test_who_asks_again_and_again_is_carried_further_so_many_times(
    town: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extending, "EXTENSIONS_MAX", 1)
    file, person, _ = chain(town)
    first = ask(town, file, WUHAN)
    town.settle()
    say(town, RefuseErasure(erasure=first, reason="仍需履职"))

    erasure = erase(town, file, WUHAN)

    assert len(extensions(town, CHENGDU)) == 1
    assert keys_of(town[ORIGIN], person) != []
    assert shown(town, WUHAN, erasure)["state"] is State.GRANTED
    town.clock.pass_(days=2)
    (alarm,) = board.alarms(town[WUHAN])
    assert (alarm["rule"], alarm["org"]) == ("erasure-passed-on", ORIGIN)


@pytest.mark.slow
def test_an_extension_is_not_for_a_person_to_answer(town: Staged) -> None:
    ask(town, chain(town).file, WUHAN)
    town.settle()
    (extension,) = extensions(town, CHENGDU)

    with pytest.raises(FollowsAnother):
        town[CHENGDU].eraser.grant(extension.id, Who(person="li"))


@pytest.mark.slow
def test_classes_that_were_not_asked_for_are_kept(town: Staged) -> None:
    member, _ = history(town)

    erasure = erase(town, member, classes=(DataClass.CONTACT,))

    assert shown(town, ORIGIN, erasure)["state"] is State.COMPLETED
    for code in (ORIGIN, CHENGDU):
        (person,) = town[code].database.rows("SELECT name, phone FROM roster_person", {})
        assert person == {"name": NAME, "phone": None}


def found_by_chengdu(town: Staged) -> UUID:
    """A stay of somebody whom nobody had announced there."""
    said = {"name": NAME, "number": CANARIES[-1], "origin": ORIGIN, "phone": PHONE, "via": "visit"}
    return town[CHENGDU].execute(FindMember.model_validate(said)).id


def recognized(town: Staged, inflow: UUID) -> tuple[UUID, UUID]:
    """His file and absence at the origin, which says that he is its member."""
    member = register(town[ORIGIN], name=NAME, phone=PHONE)
    outflow = depart(town[ORIGIN], member)
    town.settle()
    town[ORIGIN].execute(RecognizeClaim(inflow=inflow, outflow=outflow))
    return member, outflow


@pytest.mark.slow
def test_a_person_a_host_had_found_first_is_erased_under_both_ids(town: Staged) -> None:
    found = found_by_chengdu(town)
    member, outflow = recognized(town, found)
    town[ORIGIN].execute(OfferCare(outflow=outflow, host=CHENGDU, claim=found))
    town.settle()
    accept(town[CHENGDU], outflow)
    town.settle()
    town[ORIGIN].execute(RecordReturn(outflow=outflow, returned_on=date(2025, 9, 1)))
    town.settle()
    other = town[CHENGDU].ledger.look_up(Inflow, found).subject
    assert other != member
    assert NAME in traces(town[CHENGDU])

    erase(town, member)

    assert traces(town[CHENGDU]) == traces(town[ORIGIN]) == []
    for code in (ORIGIN, CHENGDU):
        closed = town[code].keyring.closed(other, DataClass.IDENTITY)
        assert closed is Closure.ERASED


def test_whom_a_host_found_and_was_never_offered_is_erased_there_too(town: Staged) -> None:
    found = found_by_chengdu(town)
    member, outflow = recognized(town, found)
    town[ORIGIN].execute(RecordReturn(outflow=outflow, returned_on=date(2025, 9, 1)))
    town.settle()
    assert NAME in traces(town[CHENGDU])

    erasure = erase(town, member)

    assert holders(town, erasure) == {ORIGIN: "已销毁", CHENGDU: "已销毁"}
    assert traces(town[CHENGDU]) == traces(town[ORIGIN]) == []
    with town[CHENGDU].database.connection() as conn:
        refused = conn.execute("SELECT count(*) FROM quarantine").fetchone()
    assert refused == (0,)


def test_a_fact_that_only_a_newer_node_reads_holds_up_no_erasure(town: Staged) -> None:
    member = register(town[ORIGIN], name=NAME, phone=PHONE)
    outflow = depart(town[ORIGIN], member)
    known = town[ORIGIN].ledger.stream(outflow)[-1]
    meta = {**json.loads(known.state)["meta"], "subject": str(uuid4())}
    state = json.dumps({"meta": meta, "outflow": [str(outflow)]}).encode()
    town[ORIGIN].ledger.replicate([StoredEvent(uuid4(), 1, "outflow.of_tomorrow", state)], None)
    town[ORIGIN].execute(RecordReturn(outflow=outflow, returned_on=date(2025, 9, 1)))
    town.settle()

    erasure = erase(town, member)

    assert shown(town, ORIGIN, erasure)["state"] is State.COMPLETED


@pytest.mark.slow
def test_a_person_a_host_found_alone_is_the_hosts_to_erase(town: Staged) -> None:
    found = found_by_chengdu(town)
    town.settle()

    erasure = erase(town, found, CHENGDU)

    assert holders(town, erasure, CHENGDU) == {CHENGDU: "已销毁", ORIGIN: "已销毁"}
    assert traces(town[CHENGDU]) == traces(town[ORIGIN]) == []


# Who may ask, and what a holder may answer.


def test_a_stranger_erases_nobody(town: Staged) -> None:
    member, _ = history(town)
    node = town[ORIGIN]
    before = rows(node)
    town[SHENZHEN].execute(
        RequestErasure(person=member, streams=(member,), ground="other", hearers=(ORIGIN,))
    )
    town[SHENZHEN].relay.number()
    after = node.lanes.standing_in(SHENZHEN).number
    wire, _ = town[SHENZHEN].relay.batch(ORIGIN, after)

    outcome = node.inbox.accept(wire)

    assert outcome.parked == 1
    assert rows(node) == before


@pytest.mark.slow
def test_a_receipt_that_its_sender_did_not_sign_is_set_aside(town: Staged) -> None:
    member, _ = history(town)
    with pytest.MonkeyPatch.context() as patch:
        forged = NodeKeys.generate()
        patch.setattr(town[CHENGDU].eraser, "_keys", forged)
        erasure = ask(town, member)
        town[ORIGIN].eraser.grant(erasure, Who(person="li"))
        town[ORIGIN].settle()
        town.carry(ORIGIN, CHENGDU)
        town[CHENGDU].settle()
    after = town[ORIGIN].lanes.standing_in(CHENGDU).number
    wire, _ = town[CHENGDU].relay.batch(ORIGIN, after)

    assert town[ORIGIN].inbox.accept(wire).parked == 1
    assert holders(town, erasure)[CHENGDU] is None


@pytest.mark.slow
def test_a_holder_may_keep_by_law_and_that_is_shown(town: Staged) -> None:
    member, _ = history(town)
    erasure = ask(town, member)
    town.settle()
    town[CHENGDU].eraser.carry(KeepInstead(erasure=erasure, **LAW), Who())

    town[ORIGIN].eraser.grant(erasure, Who(person="li"))
    town.settle()

    known = town[ORIGIN].ledger.look_up(Erasure, erasure)
    assert (known.state, known.kept_by) == (State.COMPLETED, (CHENGDU,))
    assert shown(town, ORIGIN, erasure)["holders"][1]["kept"] == LAW
    assert traces(town[CHENGDU]) == []
    assert town[CHENGDU].keyring.closed(member, DataClass.NOTES) is Closure.RESTRICTED


@pytest.mark.slow
def test_a_former_keeper_asks_and_whoever_holds_the_affiliation_now_decides(
    town: Staged,
) -> None:
    member, transfer = moved(town)
    admit(town, transfer)
    give_slip(town, transfer)
    held = town[CHENGDU].database.rows("SELECT member, name FROM roster_person", {})
    assert town[ORIGIN].ledger.look_up(Member, member).released_to == CHENGDU

    erasure = erase(town, member)

    assert holders(town, erasure) == {ORIGIN: "已销毁", CHENGDU: None}
    assert shown(town, CHENGDU, erasure)["holds"]
    assert town[CHENGDU].database.rows("SELECT member, name FROM roster_person", {}) == held
    assert not town[CHENGDU].keyring.any_closed

    (file,) = (row["member"] for row in held if row["member"] != member)
    erase(town, file, CHENGDU)

    assert holders(town, erasure) == {ORIGIN: "已销毁", CHENGDU: "已销毁"}
    known = town[ORIGIN].ledger.look_up(Erasure, erasure)
    assert (known.state, known.kept_by) == (State.COMPLETED, ())


# Restricted instead.


@pytest.mark.slow
def test_what_the_law_keeps_is_hidden_and_opens_for_a_named_purpose_alone(town: Staged) -> None:
    member, _ = history(town)
    erasure = ask(town, member)
    restrict = RestrictProcessing(
        erasure=erasure,
        reason="争议尚未办结",
        basis="个人信息保护法第四十七条",
        until=date(2028, 1, 1),
        purposes=("审计",),
    )
    town[ORIGIN].eraser.carry(restrict, Who())
    town.settle()
    auditor = Auditor(Reader(town[ORIGIN]))

    assert traces(town[ORIGIN]) == traces(town[CHENGDU]) == []
    assert {each["value"] for each in auditor.trail(member, "phone")} == {"限制处理"}
    token = purpose.set("审计")
    assert [each["value"] for each in auditor.trail(member, "phone")] == [PHONE, LATER]
    purpose.reset(token)

    town[ORIGIN].eraser.carry(LiftRestriction(erasure=erasure, reason="已办结"), Who())
    town.settle()
    assert NAME in traces(town[ORIGIN])
    assert NAME in traces(town[CHENGDU])


@pytest.mark.slow
def test_a_restriction_that_has_outlived_its_term_is_an_alarm(town: Staged) -> None:
    member, _ = history(town)
    erasure = ask(town, member)
    restrict = RestrictProcessing(
        erasure=erasure, reason="r", basis="b", until=date(2026, 2, 1), purposes=("审计",)
    )
    town[ORIGIN].eraser.carry(restrict, Who())

    town.clock.pass_(days=60)

    assert [each["rule"] for each in board.alarms(town[ORIGIN])] == ["restriction-over"]


# What was proved stays proved, and what is rebuilt is the same.


def test_lane_roots_and_digests_are_what_they_were(after: After) -> None:
    for code, (roots, said) in after.proved.items():
        node = after.town[code]
        assert digests(node, after.heads[code]) == said
        assert [node.lanes.root_out(peer, number) for peer, number, _ in roots] == [
            root for _, _, root in roots
        ]


def test_proofs_that_were_made_before_still_verify(after: After) -> None:
    for code, (size, root, proof) in after.trees.items():
        node = after.town[code]
        index = node.log.position(after.member, 1) - 1
        now = bytes.fromhex(digest(node.ledger.stream(after.member)[0]))

        included(ours(), now, index, size, proof, root)

        assert node.log.root(size) == root
        assert node.log.sign(), "What was signed is the beginning of what is there now."


def test_a_read_model_that_is_rebuilt_after_it_is_the_same(after: After) -> None:
    for code in (ORIGIN, CHENGDU):
        node = after.town[code]
        before = rows(node)
        assert all(node.projector.rebuild(model) for model in MODELS)
        assert rows(node) == before
        assert traces(node) == []


def test_the_absence_and_who_had_the_care_are_known_as_before(after: After) -> None:
    assert responsible(after.town, after.outflow) == after.responsible
    assert after.town[ORIGIN].ledger.look_up(Outflow, after.outflow).state == "已返回"


def test_both_sides_read_the_same_and_certify_it(after: After) -> None:
    report = Two(after.town).reconcile()

    assert report.equal, report.last


# Irreversible, whatever happens.


@pytest.mark.slow
def test_after_a_restart_it_is_closed_before_anything_is_served(town: Staged) -> None:
    member, _ = history(town)
    ask(town, member)
    with town[ORIGIN].database.connection() as conn:
        conn.execute("DELETE FROM closing")

    node = town.restart(ORIGIN)

    assert node.keyring.closed(member, DataClass.IDENTITY) is Closure.HELD


@pytest.mark.slow
def test_an_old_backup_brings_nothing_back_and_takes_nothing_from_others(town: Staged) -> None:
    member, _ = history(town)
    other = register(town[ORIGIN], "620902198803151237", name="李四", phone="13911112222")
    town.settle()
    backup = town.stage.snapshot(ORIGIN)
    erase(town, member)

    town.stage.restore(ORIGIN, backup)
    node = town.restart(ORIGIN)

    assert node.ledger.find(Erasure, Erasure.id_of(member, ORIGIN, 1)) is None
    assert traces(node) == []
    assert node.keyring.closed(member, DataClass.IDENTITY) is Closure.ERASED
    with node.database.connection() as conn:
        left = conn.execute("SELECT count(*) FROM subject_key WHERE subject = %s", (member,))
        assert left.fetchone() == (0,)
    trail = Auditor(Reader(node)).trail(other, "phone")
    assert [each["value"] for each in trail] == ["+8613911112222"]


@pytest.mark.slow
def test_an_old_backup_of_database_and_slots_brings_nothing_back_while_the_list_is_there(
    town: Staged, tmp_path: Path
) -> None:
    member, _ = history(town)
    backup = town.stage.snapshot(ORIGIN)
    slots = (tmp_path / ORIGIN / "slots").read_bytes()
    erase(town, member)

    town.stage.restore(ORIGIN, backup)
    (tmp_path / ORIGIN / "slots").write_bytes(slots)
    node = town.restart(ORIGIN)

    assert traces(node) == []
    assert (tmp_path / ORIGIN / "slots").read_bytes() != slots


@pytest.mark.slow
def test_a_grant_of_a_key_of_who_is_erased_is_not_taken_in(town: Staged) -> None:
    member, _ = history(town)
    wires = [town[ORIGIN].relay.batch(CHENGDU, after)[0] for after in range(3)]
    assert any(str(member).encode() in wire for wire in wires)
    backup = town.stage.snapshot(CHENGDU)
    erase(town, member)
    town.stage.restore(CHENGDU, backup)
    node = town.restart(CHENGDU)

    assert town.carry(ORIGIN, CHENGDU)
    node.settle()

    with node.database.connection() as conn:
        left = conn.execute("SELECT count(*) FROM subject_key WHERE subject = %s", (member,))
        assert left.fetchone() == (0,)
    assert traces(node) == []


def test_the_bytes_of_a_refused_message_are_emptied_and_still_recognized(town: Staged) -> None:
    member = register(town[ORIGIN], name=NAME, phone=PHONE)
    outflow = depart(town[ORIGIN], member)
    town.settle()
    town[ORIGIN].execute(_offer(outflow))
    town[ORIGIN].settle()
    node = town[CHENGDU]
    wire, last = town[ORIGIN].relay.batch(CHENGDU, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sync.authority.check", _refuse)
        assert node.inbox.accept(wire).parked
    assert str(member) in everything(node)
    with node.database.connection() as conn:
        kept = conn.execute("SELECT wire FROM quarantine WHERE wire <> ''").fetchall()
        assert bytes(kept[0][0]) == wire

    town[ORIGIN].execute(_close(outflow))
    node.eraser.book.destroy(node.eraser.about(member), ALL)

    with node.database.connection() as conn:
        (emptied,) = conn.execute("SELECT wire FROM quarantine WHERE wire <> ''").fetchone()
    assert bytes(emptied).startswith(b"waystation/erased/v1 ")
    assert node.inbox.accept(wire).fault is None, last


def test_a_holder_closes_at_once_also_while_it_may_tell_nobody(town: Staged) -> None:
    member, _ = history(town)
    ask(town, member)
    node = town[CHENGDU]
    town[ORIGIN].relay.number()
    town.carry(ORIGIN, CHENGDU)
    assert not any(node.keyring.closed(member, each) for each in ALL)
    head = node.ledger.head

    node.eraser.step(telling=False)

    assert all(node.keyring.closed(member, each) for each in ALL)
    assert node.ledger.head == head


def test_what_was_given_back_by_file_is_let_go_of_and_asked_for_again(town: Staged) -> None:
    """Its pages hold grants that are sealed to this node."""
    node = town[ORIGIN]
    member = register(node, name=NAME, phone=PHONE)
    town.settle()
    page = town[CHENGDU].restoring.page(ORIGIN, 0, 0, 0)
    node.lanes.keep_given(CHENGDU, [Given("returned", 1, page)])

    node.eraser.book.destroy(node.eraser.about(member), ALL)

    assert node.lanes.given_by() == []
    assert "lane_given" in SCRUBBED


def _offer(outflow: UUID) -> Any:
    return OfferCare(outflow=outflow, host=CHENGDU)


def _close(outflow: UUID) -> Any:
    return CloseOutflow.model_validate(
        {"outflow": outflow, "how": "membership_ended", "closed_on": date(2025, 9, 1)}
    )


def _refuse(fact: Any, _: Any) -> None:
    raise Unknown(topic=fact.TOPIC)


@pytest.mark.slow
def test_who_comes_back_is_another_person(town: Staged) -> None:
    member, _ = history(town)
    erase(town, member)

    again = register(town[ORIGIN], name="新名字", phone="13922223333")
    town.settle()

    assert again != member
    names = town[ORIGIN].database.rows("SELECT member, name FROM roster_person", {})
    assert {row["member"]: row["name"] for row in names} == {member: None, again: "新名字"}


# A crash at any step.


class Crash(Exception):  # noqa: N818 - as in the simulation.
    """The process is gone."""


EFFECTS = (
    ("vault", "destroy"),
    ("book", "hide"),
    ("book", "destroy"),
    ("book", "note_scrubbed"),
    ("module", "scrub"),
    ("eraser", "_execute"),
)


def armed(node: Node, patch: pytest.MonkeyPatch, at: int | None) -> Callable[[], int]:
    """Make the n-th effect crash: before it if n is even, after it if odd; count them."""
    seen = 0
    eraser = node.eraser
    parts = {
        "vault": node.keyring.vault,
        "book": eraser.book,
        "module": eraser_module,
        "eraser": eraser,
    }

    def wrap(real: Callable[..., Any]) -> Callable[..., Any]:
        def effect(*args: Any, **kwargs: Any) -> Any:
            nonlocal seen
            point, seen = seen, seen + 2
            if at == point:
                raise Crash
            answer = real(*args, **kwargs)
            if at == point + 1:
                raise Crash
            return answer

        return effect

    for part, name in EFFECTS:
        patch.setattr(parts[part], name, wrap(getattr(parts[part], name)))
    return lambda: seen


def crash_at(town: Staged, code: str, at: int | None) -> int:
    """Erase, with one node crashing at a point; how many points there were."""
    member, _ = history(town)
    node = town[code]
    with pytest.MonkeyPatch.context() as patch:
        count = armed(node, patch, at)
        try:
            erase(town, member)
        except Crash:
            patch.undo()
            town.restart(code)
            try:
                ask(town, member)
            except Exception as refusal:  # noqa: BLE001 - it was recorded before the crash.
                assert type(refusal).__name__ in {"ErasureOpen", "NothingToErase"}  # noqa: PT017
            erasure = Erasure.id_of(member, ORIGIN, 1)
            if town[ORIGIN].ledger.look_up(Erasure, erasure).state is State.REQUESTED:
                town[ORIGIN].eraser.grant(erasure, Who(person="li"))
            town.settle()
        points = count()
    erasure = Erasure.id_of(member, ORIGIN, 1)
    assert shown(town, ORIGIN, erasure)["state"] is State.COMPLETED
    assert traces(town[ORIGIN]) == traces(town[CHENGDU]) == []
    assert not town[code].eraser.book.unscrubbed()
    return points


@pytest.mark.slow
@pytest.mark.parametrize("code", [ORIGIN, CHENGDU])
def test_a_crash_between_slots_and_rows_is_made_good(town: Staged, code: str) -> None:
    member, _ = history(town)
    node = town[code]
    with pytest.MonkeyPatch.context() as patch:

        def gone(*_: Any) -> None:
            raise Crash

        patch.setattr(node.eraser.book, "destroy", gone)
        with pytest.raises(Crash):
            erase(town, member)
    town.restart(code)
    town.settle()

    assert traces(town[code]) == []
    assert holders(town, Erasure.id_of(member, ORIGIN, 1)) == {ORIGIN: "已销毁", CHENGDU: "已销毁"}


@pytest.mark.slow
@pytest.mark.parametrize("at", range(6))
def test_a_crash_while_it_is_asked_further_is_made_good(town: Staged, at: int) -> None:
    """Asked, followed, told: each is recorded, or is not."""
    file, person, _ = chain(town)
    execute, seen = town[CHENGDU].eraser._extending._execute, iter(range(0, 99, 2))  # noqa: SLF001

    def effect(*said: Any) -> Any:
        point = next(seen)
        if point == at:
            raise Crash
        answer = execute(*said)
        if point + 1 == at:
            raise Crash
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(town[CHENGDU].eraser._extending, "_execute", effect)  # noqa: SLF001
        crashed = False
        try:
            erase(town, file, WUHAN)
        except Crash:
            crashed = True
    town.restart(CHENGDU)
    erasure = Erasure.id_of(person, WUHAN, 1)
    if town[WUHAN].ledger.look_up(Erasure, erasure).state is State.REQUESTED:
        town[WUHAN].eraser.grant(erasure, Who(person="li"))
    town.settle()

    assert crashed
    assert shown(town, WUHAN, erasure)["state"] is State.COMPLETED
    assert [each.state for each in extensions(town, CHENGDU)] == [State.COMPLETED]
    assert keys_of(town[ORIGIN], person) == []


@pytest.mark.slow
@pytest.mark.parametrize("code", [ORIGIN, CHENGDU])
def test_a_crash_before_or_after_any_effect_is_made_good(
    theatre: Stage, tmp_path: Path, code: str
) -> None:
    def told(at: int | None) -> int:
        theatre.empty()
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        with ExitStack() as stack:
            return crash_at(founded(theatre, stack, tmp_path), code, at)

    points = told(None)
    for at in range(points):
        told(at)

    assert points >= 2 * len(EFFECTS) - 2
