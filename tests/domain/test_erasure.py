"""删除: what may be asked about a person's right to be forgotten, and by whom."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from domain.aggregate import SecondPersonNeeded
from domain.commands import (
    CompleteErasure,
    ConsultRestricted,
    ExtendErasure,
    FollowErasure,
    GrantErasure,
    KeepInstead,
    LiftRestriction,
    RecordPhone,
    RefuseErasure,
    RequestErasure,
    RestrictProcessing,
    TellDestroyed,
    TellExtended,
)
from domain.commands.erasures import PURPOSES_MAX
from domain.decisions import members
from domain.decisions.erasures import OurOwnRequest
from domain.destruction import DESTROYED_MAX, Destruction, DestructionAnswered, KeptTooShort
from domain.erasure import (
    ERASURES_MAX,
    STREAMS_MAX,
    Erasure,
    ErasureAnswered,
    ErasureOpen,
    NothingToErase,
    NotRestricted,
    PurposeNotNamed,
    RestrictionTooShort,
    State,
    StillInCare,
    TooManyErasures,
)
from domain.extension import FollowsAnother
from domain.ledger import NotOurs
from domain.member import Member
from domain.purposes import PURPOSES, RETENTION
from domain.records import PERSONAL
from domain.sealing import Closure, PersonClosed
from domain.values import DataClass
from tests.support.people import AWAY, ZHANG, ZHANG_NUMBER, away, on_file, register_member
from tests.support.story import CHENGDU, ORIGIN, Story, fact, name

ALL = tuple(DataClass)
ERASURE = Erasure.id_of(ZHANG, ORIGIN, 1)
ASK = RequestErasure(person=ZHANG, streams=(ZHANG,), ground="consent_withdrawn", hearers=(CHENGDU,))
ASKED = fact(
    Erasure.Requested,
    streams=(ZHANG,),
    classes=ALL,
    ground="consent_withdrawn",
    by="person",
)
GRANTED = fact(Erasure.Granted, asked=(CHENGDU,))
LAW = {"reason": "争议尚未办结", "basis": "个人信息保护法第四十七条", "until": date(2028, 1, 1)}
RESTRICTED = fact(Erasure.Restricted, purposes=("审计",), **LAW)
RESTRICT = RestrictProcessing(erasure=ERASURE, purposes=("审计",), **LAW)
SIGNATURE = "A" * 86 + "=="


def asked(origin: Story, *more: object) -> UUID:
    """Zhang's file, and a request that wang has put down."""
    on_file(origin)
    return origin.given(ERASURE, ASKED, *more, about=ZHANG, heard_by=(CHENGDU,))


def test_a_request_is_recorded_and_whoever_may_hold_a_key_hears_of_it(origin: Story) -> None:
    on_file(origin)

    origin.when(ASK).then(ASKED)

    assert origin.told[0].meta.audience == (CHENGDU,)
    assert origin.told[0].meta.subject == ZHANG


def test_nothing_opens_from_the_moment_it_is_recorded(origin: Story) -> None:
    on_file(origin)
    origin.when(ASK)

    assert origin.ledger.keyring.closed(ZHANG, DataClass.IDENTITY) is Closure.HELD
    origin.when(RecordPhone(member=ZHANG, phone="13900001234")).then_refused(PersonClosed)


def test_classes_that_were_not_asked_for_stay_open(origin: Story) -> None:
    on_file(origin)
    origin.when(ASK.model_copy(update={"classes": (DataClass.IDENTITY,)}))

    assert origin.ledger.keyring.closed(ZHANG, DataClass.CONTACT) is None


def test_one_request_is_open_at_a_time(origin: Story) -> None:
    asked(origin)

    origin.when(ASK).then_refused(ErasureOpen, erasure=ERASURE)


def test_after_a_refusal_it_may_be_asked_again(origin: Story) -> None:
    asked(origin, fact(Erasure.Refused, reason="身份未核实"))

    assert origin.when(ASK).then(ASKED).id == Erasure.id_of(ZHANG, ORIGIN, 2)


def test_what_is_erased_is_not_erased_again(origin: Story) -> None:
    asked(origin, GRANTED, fact(Erasure.Completed))
    origin.ledger.keyring.close(ZHANG, ALL, Closure.ERASED)

    origin.when(ASK).then_refused(NothingToErase)


def test_more_erasures_than_the_limit_are_refused(origin: Story) -> None:
    on_file(origin)
    for number in range(1, ERASURES_MAX + 1):
        id_ = Erasure.id_of(ZHANG, ORIGIN, number)
        origin.given(id_, ASKED, fact(Erasure.Refused, reason="身份未核实"), about=ZHANG)

    origin.when(ASK).then_refused(TooManyErasures, maximum=ERASURES_MAX)


def test_who_asked_cannot_grant_it(origin: Story) -> None:
    asked(origin)

    origin.when(GrantErasure(erasure=ERASURE)).then_refused(SecondPersonNeeded, person="wang")


def test_a_second_person_grants_it(origin: Story) -> None:
    asked(origin)

    origin.when(GrantErasure(erasure=ERASURE, asked=(CHENGDU,)), person="li").then(GRANTED)


def test_it_is_granted_once(origin: Story) -> None:
    asked(origin, GRANTED)

    origin.when(GrantErasure(erasure=ERASURE), person="li").then_refused(
        ErasureAnswered, state=State.GRANTED
    )


def test_what_is_granted_cannot_be_refused_or_restricted(origin: Story) -> None:
    asked(origin, GRANTED)

    origin.when(RefuseErasure(erasure=ERASURE, reason="反悔")).then_refused(ErasureAnswered)
    origin.when(RESTRICT).then_refused(ErasureAnswered)


def test_nobody_is_erased_while_he_is_away(origin: Story) -> None:
    away(origin)
    origin.given(ERASURE, ASKED, about=ZHANG)

    origin.when(GrantErasure(erasure=ERASURE), person="li").then_refused(
        StillInCare, outflow=AWAY, transfer=None
    )


def test_another_organizations_request_is_not_ours_to_grant(host: Story) -> None:
    host.given(Erasure.id_of(ZHANG, ORIGIN, 1), ASKED, about=ZHANG, by=ORIGIN)

    host.when(GrantErasure(erasure=ERASURE), person="li").then_refused(NotOurs)


def test_the_law_may_require_keeping(origin: Story) -> None:
    asked(origin)

    origin.when(RESTRICT).then(RESTRICTED)


def test_a_restriction_ends_after_today(origin: Story) -> None:
    asked(origin)

    origin.when(RESTRICT.model_copy(update={"until": date(2026, 1, 5)})).then_refused(
        RestrictionTooShort
    )


def test_a_restriction_names_at_least_one_purpose_and_not_too_many() -> None:
    for purposes in ((), tuple(f"用途{n}" for n in range(PURPOSES_MAX + 1))):
        with pytest.raises(ValidationError):
            RestrictProcessing(erasure=ERASURE, purposes=purposes, **LAW)


def test_a_restricted_field_is_opened_for_a_named_purpose_which_is_recorded(
    origin: Story,
) -> None:
    asked(origin, RESTRICTED)

    origin.when(
        ConsultRestricted(erasure=ERASURE, member=ZHANG, purpose="审计", field="phone")
    ).then(fact(Erasure.Consulted, member=ZHANG, purpose="审计", field="phone"))


def test_for_another_purpose_it_is_not_opened(origin: Story) -> None:
    asked(origin, RESTRICTED)

    origin.when(
        ConsultRestricted(erasure=ERASURE, member=ZHANG, purpose="好奇", field="phone")
    ).then_refused(PurposeNotNamed, purposes=["审计"])


def test_what_is_not_restricted_is_not_consulted(origin: Story) -> None:
    asked(origin)

    origin.when(
        ConsultRestricted(erasure=ERASURE, member=ZHANG, purpose="审计", field="phone")
    ).then_refused(NotRestricted)


def test_a_restriction_covers_its_own_person_alone(origin: Story) -> None:
    asked(origin, RESTRICTED)
    other = on_file(origin, member=name("other"))

    origin.when(
        ConsultRestricted(erasure=ERASURE, member=other, purpose="审计", field="phone")
    ).then_refused(NotOurs)


def test_a_restriction_is_lifted_once(origin: Story) -> None:
    asked(origin, RESTRICTED)
    lift = LiftRestriction(erasure=ERASURE, reason="争议已办结")

    origin.when(lift).then(fact(Erasure.Lifted, reason="争议已办结"))
    origin.when(lift).then_refused(NotRestricted)


def test_what_was_restricted_may_be_erased_later(origin: Story) -> None:
    asked(origin, RESTRICTED)

    origin.when(GrantErasure(erasure=ERASURE, asked=(CHENGDU,)), person="li").then(GRANTED)


def test_it_is_complete_once(origin: Story) -> None:
    asked(origin, GRANTED)

    origin.when(CompleteErasure(erasure=ERASURE)).then(fact(Erasure.Completed, kept_by=()))
    origin.when(CompleteErasure(erasure=ERASURE)).then_refused(ErasureAnswered)


def test_a_holder_says_once_which_keys_are_destroyed(host: Story) -> None:
    host.given(ERASURE, ASKED, GRANTED, about=ZHANG, by=ORIGIN, heard_by=(CHENGDU,))
    told = TellDestroyed(erasure=ERASURE, keys=(name("key"),), signature=SIGNATURE)

    host.when(told).then(
        fact(
            Destruction.Done,
            erasure=ERASURE,
            requester=ORIGIN,
            keys=(name("key"),),
            passed_to=(),
            signature=SIGNATURE,
        )
    )
    assert host.told[0].meta.audience == (ORIGIN,)
    host.when(told).then_nothing()


FURTHER = Erasure.id_of(ZHANG, CHENGDU, 1)
EXTENSION = fact(
    Erasure.Requested,
    streams=(AWAY,),
    classes=ALL,
    ground="consent_withdrawn",
    by="person",
    extends=ERASURE,
)
LAWFUL = fact(Erasure.Restricted, **LAW, purposes=("办案",))
KEYS_TO_WUHAN = fact(
    Destruction.Done,
    erasure=ERASURE,
    requester=ORIGIN,
    keys=(name("key"),),
    passed_to=("wuhan",),
    signature=SIGNATURE,
)


def extended(host: Story, *theirs: Any) -> None:
    """An erasure of the origin's, and the host's that carries it to Wuhan."""
    host.given(ERASURE, ASKED, *theirs, about=ZHANG, by=ORIGIN, heard_by=(CHENGDU,))
    host.when(ExtendErasure(erasure=ERASURE, streams=(AWAY,), hearers=("wuhan",)))


def test_what_another_asks_is_asked_further_in_our_own_name(host: Story) -> None:
    host.given(ERASURE, ASKED, about=ZHANG, by=ORIGIN, heard_by=(CHENGDU,))

    host.when(ExtendErasure(erasure=ERASURE, streams=(AWAY,), hearers=("wuhan",))).then(EXTENSION)
    assert host.told[0].meta.audience == ("wuhan",)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ((GRANTED,), fact(Erasure.Granted, asked=("wuhan",))),
        ((LAWFUL,), LAWFUL),
        ((fact(Erasure.Refused, reason="仍需履职"),), fact(Erasure.Refused, reason="仍需履职")),
        (
            (LAWFUL, fact(Erasure.Lifted, reason="已结案")),
            fact(Erasure.Refused, reason="已结案"),
        ),
    ],
    ids=["granted", "restricted", "refused", "lifted before we followed"],
)
def test_it_becomes_what_the_other_has_become(host: Story, theirs: Any, ours: Any) -> None:
    extended(host, *theirs)

    host.when(FollowErasure(extension=FURTHER)).then(ours)
    host.when(FollowErasure(extension=FURTHER)).then_nothing()


@pytest.mark.parametrize(
    "command",
    [
        GrantErasure(erasure=FURTHER),
        RefuseErasure(erasure=FURTHER, reason="仍需履职"),
        RestrictProcessing(erasure=FURTHER, **LAW, purposes=("办案",)),
        LiftRestriction(erasure=FURTHER, reason="已结案"),
    ],
    ids=lambda command: type(command).__name__,
)
def test_no_person_answers_what_follows_another(host: Story, command: Any) -> None:
    extended(host)

    host.when(command, person="li").then_refused(FollowsAnother)


def test_what_is_answered_further_on_is_told_once(host: Story) -> None:
    host.given(ERASURE, ASKED, GRANTED, about=ZHANG, by=ORIGIN, heard_by=(CHENGDU,))
    host.given(Destruction.id_of(ERASURE, CHENGDU), KEYS_TO_WUHAN, about=ZHANG, by=CHENGDU)
    theirs = Destruction.id_of(FURTHER, "wuhan")
    said = {"erasure": FURTHER, "requester": CHENGDU, "keys": (name("key"),)}
    done = fact(Destruction.Done, **said, passed_to=("xian",), signature=SIGNATURE)
    host.given(theirs, done, about=ZHANG, by="wuhan", heard_by=(CHENGDU,))
    tell = TellExtended(erasure=ERASURE, answer=theirs, org="wuhan")

    host.when(tell).then(
        fact(
            Destruction.Extended,
            org="wuhan",
            **said,
            kept=False,
            passed_to=("xian",),
            signature=SIGNATURE,
        )
    )
    host.when(tell).then_nothing()
    answer = host.ledger.look_up(Destruction, Destruction.id_of(ERASURE, CHENGDU))
    assert (answer.answered, answer.awaited, answer.settled) == (True, ("xian",), False)


def test_a_holder_may_say_that_the_law_requires_keeping(host: Story) -> None:
    host.given(ERASURE, ASKED, about=ZHANG, by=ORIGIN, heard_by=(CHENGDU,))
    keep = KeepInstead(erasure=ERASURE, **LAW)

    host.when(keep).then(fact(Destruction.Kept, erasure=ERASURE, **LAW))
    host.when(keep).then_refused(DestructionAnswered)


def test_what_is_kept_by_law_is_kept_beyond_today(host: Story) -> None:
    host.given(ERASURE, ASKED, about=ZHANG, by=ORIGIN, heard_by=(CHENGDU,))
    keep = KeepInstead(erasure=ERASURE, **{**LAW, "until": date(2026, 1, 5)})

    host.when(keep).then_refused(KeptTooShort)


def test_our_own_request_is_answered_by_a_restriction(origin: Story) -> None:
    asked(origin)

    origin.when(KeepInstead(erasure=ERASURE, **LAW)).then_refused(OurOwnRequest)


def test_more_streams_or_keys_than_the_limits_are_refused() -> None:
    with pytest.raises(ValidationError):
        ASK.model_validate({**dict(ASK), "streams": (ZHANG,) * (STREAMS_MAX + 1)})
    with pytest.raises(ValidationError):
        TellDestroyed(erasure=ERASURE, keys=(ZHANG,) * (DESTROYED_MAX + 1), signature=SIGNATURE)


def test_of_who_is_erased_nothing_is_found_by_the_number_and_a_new_file_is_another_person(
    origin: Story,
) -> None:
    first = origin.when(register_member()).receipt
    assert first is not None
    origin.ledger.keyring.close(first.id, ALL, Closure.ERASED)

    assert members.on_file(origin.ledger, ZHANG_NUMBER) is None
    second = origin.when(register_member()).receipt
    assert second is not None
    assert origin.ledger.look_up(Member, second.id).person == second.id != first.id


# Purposes and retention, as data.


def test_every_personal_field_has_its_purpose_and_no_other_has() -> None:
    assert {topic: set(said) for topic, said in PURPOSES.items()} == {
        topic: {field for field, _ in said} for topic, said in PERSONAL.items() if said
    }


def test_every_class_of_data_has_its_retention() -> None:
    assert set(RETENTION) == set(DataClass)


def test_what_rests_on_consent_is_not_kept_longer_than_what_rests_on_duty() -> None:
    assert RETENTION[DataClass.FAMILY].years == min(each.years for each in RETENTION.values())
