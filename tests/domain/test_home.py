"""本组织: an organization's own affairs: its node, peers, units, stations and policy."""

from __future__ import annotations

from datetime import UTC, date, datetime
from uuid import UUID

import pytest
from pydantic import ValidationError

from domain.agreement import CERTIFICATE_MAX, Agreement, CertificateNotLater, Signature
from domain.commands import (
    AdoptPolicy,
    CloseStation,
    CloseUnit,
    EnrolPeer,
    EstablishStation,
    FoundOrganization,
    KeepCertificate,
    OpenUnit,
    RenameUnit,
)
from domain.ledger import NotFound, NotOurs, Overtaken
from domain.organization import CardChanged, Organization, PeerIsSelf, PeerUnknown
from domain.policy import Policy, PolicyNotLater, Terms
from domain.station import Station, StationClosed
from domain.unit import DEPTH_MAX, Unit, UnitClosed, UnitKind, UnitMisplaced, UnitTooDeep
from tests.support.people import peer
from tests.support.story import CHENGDU, ORIGIN, SHENZHEN, Story, fact, name

BRANCH = fact(Unit.Opened, name="第一支部", kind="branch", depth=1)


# The organization and its peers.


def test_an_organization_founds_its_own_node(origin: Story) -> None:
    origin.when(FoundOrganization(code="lanzhou", name="兰州")).then_refused(NotOurs, id="lanzhou")


def test_an_organization_is_founded_once(origin: Story) -> None:
    origin.when(FoundOrganization(code=ORIGIN, name="酒泉")).then_refused(Overtaken)


def test_a_peer_is_enrolled(origin: Story) -> None:
    origin.when(EnrolPeer(peer=peer("wuhan"))).then(
        fact(Organization.PeerEnrolled, peer=peer("wuhan"))
    )


def test_the_same_card_again_changes_nothing(origin: Story) -> None:
    origin.when(EnrolPeer(peer=peer(CHENGDU))).then_nothing()


def test_the_same_keys_may_be_reached_otherwise(origin: Story) -> None:
    by_file = peer(CHENGDU).model_copy(update={"lane": "bundle"})

    origin.when(EnrolPeer(peer=by_file)).then(fact(Organization.PeerEnrolled, peer=by_file))


def test_other_keys_need_the_old_ones(origin: Story) -> None:
    other = peer(CHENGDU).model_copy(update={"verify_key": "other", "fingerprint": "other"})

    origin.when(EnrolPeer(peer=other)).then_refused(CardChanged, known=CHENGDU, shown="other")


def test_an_organization_is_not_its_own_peer(origin: Story) -> None:
    origin.when(EnrolPeer(peer=peer(ORIGIN))).then_refused(PeerIsSelf, peer=ORIGIN)


# Certificates.


def certificate(minute: int, at_peer: str = CHENGDU) -> KeepCertificate:
    return KeepCertificate(
        peer=at_peer,
        at=datetime(2026, 1, 5, 1, minute, tzinfo=UTC),
        certificate='{"parties":["jiuquan","chengdu"]}',
        signatures=(Signature(org=ORIGIN, signature="QUFBQQ=="),),
        salt="5" * 64,
        position=1,
    )


def test_a_certificate_is_kept_and_told_to_the_peer(origin: Story) -> None:
    kept = certificate(1)

    origin.when(kept).then(fact(Agreement.Certified, **dict(kept)))

    stream = Agreement.id_of(ORIGIN, CHENGDU)
    agreement = origin.ledger.look_up(Agreement, stream)
    assert (agreement.audience, agreement.last and agreement.last.at) == ((CHENGDU,), kept.at)


def test_a_certificate_is_later_than_the_one_before(origin: Story) -> None:
    origin.when(certificate(2))

    origin.when(certificate(2)).then_refused(CertificateNotLater)
    origin.when(certificate(1)).then_refused(CertificateNotLater)


def test_a_certificate_is_about_an_enrolled_peer(origin: Story) -> None:
    origin.when(certificate(1, "nobody")).then_refused(PeerUnknown, peer="nobody")


def test_a_certificate_is_one_line_of_ascii_within_its_limit() -> None:
    said = dict(certificate(1))
    for text in ("", "{}", "{\n}", '{"张":1}', "{" + "x" * CERTIFICATE_MAX + "}"):
        with pytest.raises(ValidationError):
            KeepCertificate.model_validate({**said, "certificate": text})


# Policy.


def test_a_policy_is_adopted_and_told_to_the_peers(origin: Story) -> None:
    terms = Terms(contact_interval_days=14)

    origin.when(AdoptPolicy(terms=terms, effective_from=date(2026, 2, 1))).then(
        fact(Policy.Adopted, effective_from=date(2026, 2, 1), terms=terms)
    )

    assert origin.told[0].meta.audience == (CHENGDU, SHENZHEN)


def test_a_new_peer_hears_the_policy(origin: Story) -> None:
    origin.given(
        Policy.id_of(ORIGIN),
        fact(Policy.Adopted, effective_from=date(2025, 1, 1), terms=Terms()),
        heard_by=(CHENGDU,),
    )

    origin.when(EnrolPeer(peer=peer("wuhan"))).then(
        fact(Organization.PeerEnrolled, peer=peer("wuhan")), fact(Policy.Shared)
    )

    assert origin.told[1].meta.audience == (CHENGDU, "wuhan")


@pytest.mark.parametrize("day", [date(2025, 1, 1), date(2024, 12, 31)])
def test_an_edition_follows_the_one_before(origin: Story, day: date) -> None:
    origin.given(
        Policy.id_of(ORIGIN), fact(Policy.Adopted, effective_from=date(2025, 1, 1), terms=Terms())
    )

    origin.when(AdoptPolicy(terms=Terms(), effective_from=day)).then_refused(
        PolicyNotLater, newest="2025-01-01"
    )


def test_a_day_is_judged_by_the_edition_in_force_on_it(origin: Story) -> None:
    for year, days in ((2024, 10), (2025, 20)):
        origin.when(
            AdoptPolicy(terms=Terms(contact_interval_days=days), effective_from=date(year, 1, 1))
        )
    policy = origin.ledger.look_up(Policy, Policy.id_of(ORIGIN))

    in_force = [
        policy.on(day).terms.contact_interval_days
        for day in (date(2023, 12, 31), date(2024, 1, 1), date(2024, 12, 31), date(2025, 1, 1))
    ]

    assert in_force == [7, 10, 10, 20]


# Units.


def open_unit(story: Story, kind: UnitKind = "branch", parent: UUID | None = None) -> UUID:
    receipt = story.when(OpenUnit(name="组织", kind=kind, parent=parent)).receipt
    assert receipt is not None
    return receipt.id


def test_a_unit_is_opened(origin: Story) -> None:
    origin.when(OpenUnit(name="第一支部")).then(BRANCH)


def test_a_unit_stands_below_another(origin: Story) -> None:
    committee = open_unit(origin, "committee")

    origin.when(OpenUnit(name="支部", parent=committee)).then(
        fact(Unit.Opened, name="支部", kind="branch", parent=committee, depth=2)
    )


@pytest.mark.parametrize(
    ("above", "below"),
    [
        ("branch", "committee"),
        ("branch", "branch"),
        ("general_branch", "group"),
        ("general_branch", "committee"),
        ("committee", "group"),
        ("group", "group"),
        ("temporary_branch", "branch"),
    ],
)
def test_a_unit_stands_in_its_place(origin: Story, above: UnitKind, below: UnitKind) -> None:
    parent = open_unit(origin, above)

    origin.when(OpenUnit(name="错位", kind=below, parent=parent)).then_refused(
        UnitMisplaced, unit=below, below=above
    )


def test_a_tree_has_a_depth(origin: Story) -> None:
    parent = None
    for _ in range(DEPTH_MAX):
        parent = open_unit(origin, "committee", parent)

    origin.when(OpenUnit(name="太深", parent=parent)).then_refused(
        UnitTooDeep, depth=DEPTH_MAX + 1, maximum=DEPTH_MAX
    )


def test_a_unit_is_renamed(origin: Story) -> None:
    unit = origin.given(name("unit"), BRANCH)

    origin.when(RenameUnit(unit=unit, name="第二支部")).then(fact(Unit.Renamed, name="第二支部"))


def test_the_same_name_again_changes_nothing(origin: Story) -> None:
    unit = origin.given(name("unit"), BRANCH)

    origin.when(RenameUnit(unit=unit, name="第一支部")).then_nothing()


def test_a_unit_is_closed(origin: Story) -> None:
    unit = origin.given(name("unit"), BRANCH)

    origin.when(CloseUnit(unit=unit, reason="合并")).then(fact(Unit.Closed, reason="合并"))


def test_a_closed_unit_takes_nothing_more(origin: Story) -> None:
    unit = origin.given(name("unit"), BRANCH, fact(Unit.Closed, reason="合并"))

    for command in (
        RenameUnit(unit=unit, name="第二支部"),
        CloseUnit(unit=unit, reason="再次"),
        OpenUnit(name="小组", kind="group", parent=unit),
    ):
        origin.when(command).then_refused(UnitClosed, unit="第一支部")


def test_a_unit_stands_below_one_that_exists(origin: Story) -> None:
    origin.when(OpenUnit(name="支部", parent=name("nowhere"))).then_refused(NotFound, kind="unit")


# Stations.

STATION = fact(
    Station.Established, code="cd-1", name="驻蓉联络服务站", city="成都", approval="酒组发1号"
)


def test_a_station_is_established_and_told_to_the_peers(origin: Story) -> None:
    origin.when(
        EstablishStation(code="cd-1", name="驻蓉联络服务站", city="成都", approval="酒组发1号")
    ).then(STATION)

    assert origin.told[0].meta.audience == (CHENGDU, SHENZHEN)


def test_a_station_is_established_once(origin: Story) -> None:
    origin.given(Station.id_of(ORIGIN, "cd-1"), STATION)

    origin.when(
        EstablishStation(code="cd-1", name="驻蓉联络服务站", city="成都", approval="酒组发1号")
    ).then_refused(Overtaken)


def test_another_organization_may_use_the_same_code(origin: Story) -> None:
    origin.given(Station.id_of("lanzhou", "cd-1"), STATION, by="lanzhou")

    origin.when(
        EstablishStation(code="cd-1", name="驻蓉联络服务站", city="成都", approval="酒组发1号")
    ).then(STATION)


def test_a_station_is_closed_once(origin: Story) -> None:
    station = origin.given(Station.id_of(ORIGIN, "cd-1"), STATION)

    origin.when(CloseStation(station=station, reason="合并")).then(
        fact(Station.Closed, reason="合并")
    )
    origin.when(CloseStation(station=station, reason="再次")).then_refused(
        StationClosed, station="cd-1"
    )
