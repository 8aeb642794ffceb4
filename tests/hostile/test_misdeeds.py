"""劣迹与下场: no misdeed crashes a node, leaves anything in its ledger, or goes unseen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from domain.errors import Stated
from sync.errors import LaneFault
from sync.inbox import Outcome
from tests.hostile.misdeeds import ANSWERS, MESSAGES, PARTS, Answer, Message, Part
from tests.hostile.scene import Scene, scene
from tests.support.federation import ORIGIN
from tests.support.memory.stage import MemoryStage
from tests.support.stage import stage


@pytest.fixture(
    scope="module", params=["memory", pytest.param("postgresql", marks=pytest.mark.slow)]
)
def here(request: pytest.FixtureRequest) -> Iterator[Scene]:
    """One scene for all: each misdeed is measured by what it adds."""
    if request.param == "memory":
        with scene(MemoryStage()) as made:
            yield made
        return
    url = request.getfixturevalue("postgres").url
    with stage(url, "hostile") as theatre, scene(theatre) as made:
        yield made


@pytest.fixture(autouse=True)
def honest(here: Scene) -> Iterator[None]:
    """After each: the honest third is unharmed, and an honest message is still taken."""
    yield
    here.the_third_is_unharmed()
    assert here.pen.send(here.pen.activity()).recorded == 1


def by_name(deed: Stated | tuple[object, ...]) -> str:
    return str(deed[0]) if isinstance(deed, tuple) else ""


def test_there_are_sixty_and_more() -> None:
    names = [deed.name for deed in (*MESSAGES, *PARTS, *ANSWERS)]

    assert len(set(names)) == len(names) >= 60


@pytest.mark.parametrize("deed", MESSAGES, ids=by_name)
def test_a_bad_message_changes_nothing_and_is_counted(here: Scene, deed: Message) -> None:
    wire, before = deed.wire(here), here.look()

    outcome = here.victim.inbox.accept(wire)

    after, newest = here.look(), here.newest_evidence()
    assert outcome.fault is not None
    assert (outcome.fault.code(), outcome.recorded) == (deed.code, 0)
    assert (after.entries, after.parked) == (before.entries, before.parked)
    assert after.refused - before.refused == Counter({deed.code: 1})
    assert newest["reason"] == deed.code
    assert newest["evidence"] == {key: str(value) for key, value in outcome.fault.facts.items()}


@pytest.mark.parametrize("deed", PARTS, ids=by_name)
def test_a_bad_entry_is_set_aside_with_its_evidence(here: Scene, deed: Part) -> None:
    entries, before = deed.entries(here), here.look()
    *well, bad = entries
    wire = here.pen.wire(*entries)

    outcome = here.victim.inbox.accept(wire)

    after, newest = here.look(), here.newest_evidence()
    assert (outcome.fault, outcome.recorded) == (None, len(well))
    assert after.entries == before.entries + len(well)
    assert after.parked == before.parked + 1
    assert (newest["reason"], newest["stream"]) == (deed.code, bad.stream)
    assert here.victim.lanes.evidence(newest["id"]) == (ORIGIN, wire, newest["number"])


@pytest.mark.parametrize("deed", ANSWERS, ids=by_name)
def test_a_bad_answer_acknowledges_nothing_and_is_counted(here: Scene, deed: Answer) -> None:
    wire, before = deed.wire(here), here.look()
    told = here.victim.lanes.acknowledged(ORIGIN)

    with pytest.raises(LaneFault) as refused:
        here.victim.relay.acknowledge(wire)

    after = here.look()
    assert refused.value.code() == deed.code
    assert after.refused - before.refused == Counter({deed.code: 1})
    assert after.evidence == before.evidence + 1
    assert (after.entries, here.victim.lanes.acknowledged(ORIGIN)) == (before.entries, told)


def test_a_batch_from_the_future_is_asked_for_anew(here: Scene) -> None:
    before = here.look()

    outcome = here.victim.inbox.accept(here.pen.wire(here.pen.activity(), first=900))

    assert outcome.fault is not None
    assert outcome.fault.code() == "gap"
    assert outcome.answer.startswith(b"waystation/want/v1 ")
    assert here.look() == before


def test_two_hundred_repetitions_have_no_effect(here: Scene) -> None:
    wire = here.pen.wire(here.pen.activity())
    here.victim.inbox.accept(wire)
    before = here.look()

    outcomes = {here.victim.inbox.accept(wire)[1:] for _ in range(200)}

    assert outcomes == {Outcome(b"", 0)[1:]}
    assert here.look() == before
