"""隔离: what was set aside is retried after a dry run that shows what would change."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from domain.catalogue import FACTS
from domain.ledger import NotFound, Overtaken
from sync import authority, book_in
from sync.quarantine import Address, CountDiffers, Quarantine
from tests.support.federation import CHENGDU
from tests.support.stage import Staged
from tests.sync.pen import Pen

MEMBER = uuid4()


def quarantine(pen: Pen) -> Quarantine:
    node = pen.receiver
    return Quarantine(node.ledger, node.lanes, node.clock)


def first_id(pen: Pen) -> int:
    number: int = pen.receiver.lanes.quarantined(0, 1)[0]["id"]
    return number


def versions(pen: Pen, stream: UUID) -> list[int]:
    return [record.originator_version for record in pen.receiver.ledger.stream(stream)]


@pytest.fixture
def waiting(pen: Pen) -> UUID:
    """A contact, corrected twice, that came before its absence was known."""
    stream = uuid4()
    pen.send(
        pen.contact(uuid4(), subject=MEMBER).model_copy(update={"stream": stream}),
        pen.activity(),
        pen.entry("contact.corrected", stream, 2, subject=MEMBER, reason="误记"),
        pen.entry("contact.corrected", stream, 3, subject=MEMBER, reason="误登"),
    )
    return stream


def forgive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer version, whose rules let it pass."""
    monkeypatch.setattr(authority, "_must_take_part", lambda *_: None)


def test_a_dry_run_shows_what_still_fails_and_changes_nothing(pen: Pen, waiting: UUID) -> None:
    shown = quarantine(pen).retry(first_id(pen), dry_run=True)

    assert (shown.peer, shown.dry_run, shown.recorded) == (pen.org, True, ())
    assert [(f.entry.version, f.code) for f in shown.failing] == [
        (1, "unknown"),
        (2, "stream-stopped"),
        (3, "stream-stopped"),
    ]
    assert versions(pen, waiting) == []


def test_a_dry_run_shows_exactly_what_would_be_recorded(
    pen: Pen, waiting: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgive(monkeypatch)

    shown = quarantine(pen).retry(first_id(pen), dry_run=True)

    assert shown.failing == ()
    assert shown.recorded == (
        Address("contact.made", waiting, 1, 1),
        Address("contact.corrected", waiting, 2, 3),
        Address("contact.corrected", waiting, 3, 4),
    )
    assert versions(pen, waiting) == []
    assert len(pen.receiver.lanes.quarantined(0, 10)) == 3


def test_what_was_shown_is_what_is_recorded(
    pen: Pen, waiting: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgive(monkeypatch)
    retry = quarantine(pen).retry
    shown = retry(first_id(pen), dry_run=True)

    done = retry(first_id(pen), dry_run=False)

    assert done == shown._replace(dry_run=False)
    assert versions(pen, waiting) == [1, 2, 3]
    assert pen.receiver.lanes.quarantined(0, 10) == []
    assert pen.receiver.ledger.look_up(FACTS["contact.made"].AGGREGATE, waiting).version == 3


def test_what_passes_is_recorded_and_what_fails_stays(
    pen: Pen, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = uuid4()
    pen.send(pen.activity(1, stream))
    with monkeypatch.context() as older:
        older.setattr("sync.checks.authority.check", _refuse)
        pen.send(pen.activity(2, stream), pen.activity(7, stream))

    done = quarantine(pen).retry(first_id(pen), dry_run=False)

    assert [a.version for a in done.recorded] == [2]
    assert [(f.entry.version, f.code) for f in done.failing] == [(7, "version-gap")]
    assert versions(pen, stream) == [1, 2]
    [left] = pen.receiver.lanes.quarantined(0, 10)
    assert (left["version"], left["id"]) == (7, first_id(pen))


def _refuse(*_: object) -> None:
    from sync.errors import NotTheirTopic  # noqa: PLC0415

    raise NotTheirTopic


def test_after_a_retry_the_stream_goes_on(
    pen: Pen, waiting: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as newer:
        forgive(newer)
        quarantine(pen).retry(first_id(pen), dry_run=False)

    after = pen.send(pen.entry("contact.corrected", waiting, 4, subject=MEMBER, reason="再次"))

    assert after.recorded == 1


def test_a_stream_is_not_mended_from_its_middle(
    pen: Pen, waiting: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgive(monkeypatch)
    second = pen.receiver.lanes.quarantined(first_id(pen), 1)[0]["id"]

    done = quarantine(pen).retry(second, dry_run=False)

    assert done.recorded == ()
    assert [f.code for f in done.failing] == ["version-gap", "stream-stopped"]
    assert versions(pen, waiting) == []


@pytest.mark.usefixtures("waiting")
def test_what_is_recorded_once_is_not_recorded_again(
    pen: Pen, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgive(monkeypatch)
    id_ = first_id(pen)
    quarantine(pen).retry(id_, dry_run=False)

    with pytest.raises(NotFound):
        quarantine(pen).retry(id_, dry_run=False)


def test_of_two_who_retry_at_once_one_records(
    pen: Pen, waiting: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgive(monkeypatch)
    id_ = first_id(pen)
    parked = pen.receiver.lanes.parked_from(id_, 10)
    quarantine(pen).retry(id_, dry_run=False)
    monkeypatch.setattr(book_in.InBook, "parked_from", lambda *_: parked)
    monkeypatch.setattr(book_in.InBook, "records", lambda _, streams: {s: [] for s in streams})

    with pytest.raises(Overtaken):
        quarantine(pen).retry(id_, dry_run=False)
    assert versions(pen, waiting) == [1, 2, 3]


def test_a_message_refused_as_a_whole_is_not_retried(pen: Pen) -> None:
    pen.send(pen.activity(), before="ab" * 32)

    with pytest.raises(NotFound):
        quarantine(pen).retry(first_id(pen), dry_run=True)


def test_the_keys_that_came_with_it_open_what_is_retried(three: Staged, pen: Pen) -> None:
    # An entry that is set aside keeps the keys of its batch: they are granted either way.
    from tests.sync.test_entries import KEY, parked, sealed_note, send_noted  # noqa: PLC0415

    stream = uuid4()
    send_noted(pen, sealed_note(uuid4()), stream, granted=True)

    assert [row[3] for row in parked(pen)] == ["malformed"]
    assert three[CHENGDU].keyring.key(KEY.id) is not None


# As the first release has put it down; never edited.
OLD_STREAM = UUID("4c92f9b1-5ac2-43c2-ac05-b15e42f6cb64")
OLD_STATE = (
    b'{"meta":{"recorded_at":"2026-01-05T01:00:00+00:00","occurred":{"on":"2026-01-04"},'
    b'"author":{"org":"jiuquan","person":"officer"},"keeper":"jiuquan","audience":["chengdu"],'
    b'"source":{},"correlation":"b7b0d7f0-2a64-4a5c-8f3e-6f7f6a2f1c11"},'
    b'"kind":"theme_day","title":"\xe4\xb8\xbb\xe9\xa2\x98\xe5\x85\x9a\xe6\x97\xa5"}'
)
OLD_ROW = """
    INSERT INTO quarantine
        (peer, at, reason, evidence, number, stream, version, topic, state, wire)
    VALUES ('jiuquan', '2026-01-05T01:00:00Z', 'not-their-topic', '{"topic": "activity.held"}',
        1, %s, 1, 'activity.held', %s, 'waystation/batch/v1 jiuquan AAAA')
"""


def test_what_an_older_release_set_aside_is_read_and_retried(pen: Pen) -> None:
    with pen.receiver.database.connection() as conn:
        conn.execute(OLD_ROW, (OLD_STREAM, OLD_STATE))

    [row] = pen.receiver.lanes.quarantined(0, 10)
    done = quarantine(pen).retry(row["id"], dry_run=False)

    assert (row["reason"], row["subject"], row["outflow"]) == ("not-their-topic", None, None)
    assert row["said"].startswith("来件方无权作此记录。")
    assert [address.stream for address in done.recorded] == [OLD_STREAM]
    assert versions(pen, OLD_STREAM) == [1]


def test_a_reason_of_an_older_release_that_is_gone_is_still_shown(pen: Pen) -> None:
    with pen.receiver.database.connection() as conn:
        conn.execute(OLD_ROW.replace("not-their-topic", "no-longer-known"), (OLD_STREAM, OLD_STATE))

    [row] = pen.receiver.lanes.quarantined(0, 10)

    assert (row["reason"], row["said"]) == ("no-longer-known", "no-longer-known")


# All of a peer's.


def test_what_depends_on_another_parked_stream_is_retried_after_it(
    pen: Pen, waiting: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgive(monkeypatch)
    with monkeypatch.context() as older:
        older.setattr("sync.checks.authority.check", _refuse)
        pen.send(pen.activity())

    shown = quarantine(pen).retry_all(pen.org, dry_run=True)
    done = quarantine(pen).retry_all(pen.org, dry_run=False, count=4)

    assert done == shown._replace(dry_run=False)
    assert (done.waiting, [a.number for a in done.recorded]) == (4, [1, 3, 4, 5])
    assert versions(pen, waiting) == [1, 2, 3]
    assert pen.receiver.lanes.parked(pen.org) == 0


@pytest.mark.usefixtures("waiting")
def test_another_count_than_the_one_agreed_to_records_nothing(
    pen: Pen, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgive(monkeypatch)

    with pytest.raises(CountDiffers):
        quarantine(pen).retry_all(pen.org, dry_run=False, count=2)

    assert pen.receiver.lanes.parked(pen.org) == 3


@pytest.mark.usefixtures("waiting")
def test_all_there_is_is_counted_though_not_all_is_retried_at_once(
    pen: Pen, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgive(monkeypatch)
    monkeypatch.setattr("sync.quarantine.RETRY_MAX", 2)

    shown = quarantine(pen).retry_all(pen.org, dry_run=True)

    assert (shown.waiting, len(shown.recorded)) == (3, 2)


# Whom it concerns.


def test_an_entry_set_aside_says_whom_it_concerns_or_what_its_stream_said(pen: Pen) -> None:
    stream, outflow = uuid4(), uuid4()
    pen.send(
        pen.contact(outflow, subject=MEMBER).model_copy(update={"stream": stream}),
        pen.activity(2),
    )

    first, other = pen.receiver.lanes.quarantined(0, 10)

    assert (first["subject"], first["outflow"]) == (MEMBER, outflow)
    assert (other["subject"], other["outflow"]) == (None, None)
