"""命令: one model for every way in, each with its decision, none with room for nonsense."""

from __future__ import annotations

from typing import Any, get_args
from uuid import uuid4

import pytest
from pydantic import ValidationError

from domain import commands
from domain.commands import AUTOMATIC, Command, CorrectContact, Departure, OfferCare, RecordContact
from domain.decisions import decide
from domain.values import TEXT_MAX

COMMANDS = {
    name: kind
    for name, kind in vars(commands).items()
    if isinstance(kind, type) and issubclass(kind, Command) and kind not in {Command, Departure}
}

# A text that may be empty: whether it has to say something is a rule with a sentence of its own.
MAY_BE_EMPTY = {
    ("DeclineInflow", "reason"),
    ("NoteDeclination", "reason_code"),
    ("NoteRefusal", "reason_code"),
}


def strings(kind: type[Command]) -> dict[str, Any]:
    """The fields that hold text, with their own annotation."""
    return {
        name: info
        for name, info in kind.model_fields.items()
        if info.annotation is str or str in get_args(info.annotation)
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_named_where_it_is_imported_from(name: str) -> None:
    assert name in commands.__all__


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_decision(name: str) -> None:
    assert decide.dispatch(COMMANDS[name]) is not decide.dispatch(Command)


def test_what_nobody_decides_is_a_bug() -> None:
    with pytest.raises(TypeError, match="Command"):
        decide(Command(), None)  # type: ignore[arg-type]


def test_what_a_node_asks_of_itself_is_named() -> None:
    assert {kind.__name__ for kind in AUTOMATIC} == {
        "CompleteErasure",
        "CompleteTransfer",
        "ConfirmCare",
        "ExpireTransfer",
        "ExtendErasure",
        "FollowErasure",
        "ForgetReads",
        "ForwardRecord",
        "HandOn",
        "KeepCertificate",
        "LapseOffer",
        "NoteAdmission",
        "NoteDeclination",
        "NoteRefusal",
        "PassOn",
        "ReceiveMember",
        "ResumeKeys",
        "SealReads",
        "TraceFile",
        "TellDestroyed",
        "TellExtended",
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_a_field_nobody_knows_is_refused(name: str) -> None:
    with pytest.raises(ValidationError) as refused:
        COMMANDS[name].model_validate({"surprise": 1})

    assert "extra_forbidden" in {error["type"] for error in refused.value.errors()}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_in_chinese_what_it_is(name: str) -> None:
    assert "\u4e00" <= (COMMANDS[name].__doc__ or "")[0] <= "\u9fff"


@pytest.mark.parametrize(
    ("name", "field"), [(name, field) for name in COMMANDS for field in strings(COMMANDS[name])]
)
def test_every_text_is_checked(name: str, field: str) -> None:
    kind = COMMANDS[name]
    for bad in ("话" * 50_000, "a\x00b", "a\u202eb", 7, ["a"]):
        with pytest.raises(ValidationError) as refused:
            kind.model_validate({field: bad})
        assert field in {error["loc"][0] for error in refused.value.errors()}


@pytest.mark.parametrize(
    ("name", "field"),
    [
        (name, field)
        for name in COMMANDS
        for field, info in strings(COMMANDS[name]).items()
        if info.is_required() and (name, field) not in MAY_BE_EMPTY
    ],
)
def test_a_text_that_is_asked_for_says_something(name: str, field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        COMMANDS[name].model_validate({field: " "})

    assert field in {error["loc"][0] for error in refused.value.errors()}


def test_a_nested_field_nobody_knows_is_refused() -> None:
    with pytest.raises(ValidationError, match="surprise"):
        commands.AdoptPolicy.model_validate(
            {"terms": {"surprise": 1}, "effective_from": "2025-01-01"}
        )


def test_a_command_does_not_change() -> None:
    command = CorrectContact(contact=uuid4(), reached=True, reason="误录")

    with pytest.raises(ValidationError, match="frozen"):
        setattr(command, "reason", "其他")  # noqa: B010 - a type checker would object.


def test_dates_come_in_any_of_the_spellings_ledgers_use() -> None:
    said = {"outflow": str(uuid4()), "method": "电话", "by": "李干事"}

    spelled = [
        RecordContact.model_validate({**said, "on": on})
        for on in ("2025年05月01日", "2025-05-01", "2025.5.1", "20250501")
    ]

    assert len(set(spelled)) == 1


@pytest.mark.parametrize("days", [0, 366, -1, "soon"])
def test_an_offer_is_valid_for_a_day_to_a_year(days: object) -> None:
    with pytest.raises(ValidationError):
        OfferCare.model_validate({"outflow": str(uuid4()), "host": "chengdu", "valid_days": days})


def test_the_limit_is_the_one_the_page_shows() -> None:
    schema = commands.RecordReturn.model_json_schema()

    assert schema["properties"]["conduct"]["anyOf"][0]["maxLength"] == TEXT_MAX
