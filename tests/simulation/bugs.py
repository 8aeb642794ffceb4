"""故意埋下的错误: one function a bug, each of which puts it into the code that runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.persistence import StoredEvent, Tracking

from api.node import CUSTODIAN, Node
from api.service import because_of
from domain import custodian, custody
from domain.aggregate import current
from domain.errors import Refusal
from domain.ledger import BATCH_MAX, Ledger, Overtaken
from domain.outflow import Outflow
from domain.records import digest, head
from domain.sealing import Place, draw
from domain.values import DataClass
from projections.custody import Custody
from projections.projection import LateRows
from sync import authority, checks
from sync.envelope import Batch, LaneReceipt
from sync.errors import Malformed
from sync.granting import Granting
from sync.inbox import Inbox, Outcome
from sync.lane import Lane
from sync.numbering import Page
from sync.relay import Relay
from sync.standing import Standing
from tests.support.memory.lanes import MemoryLanes
from tests.support.memory.ledger import MemoryService

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]


class _Deceived:
    """A store that says the lane stands just before a batch."""

    def __init__(self, store: Any, batch: Batch) -> None:
        self._store, self._batch = store, batch

    def standing_in(self, _: str) -> Standing:
        return Standing(self._batch.first - 1, self._batch.before)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def _deceive(patch: Patch, when: Callable[[Batch, int], bool]) -> None:
    take = Inbox._take  # noqa: SLF001

    def taking(self: Any, batch: Batch, wire: bytes, **said: Any) -> Outcome:
        store = self._store
        if when(batch, store.standing_in(batch.sender).number):
            self._store = _Deceived(store, batch)
        try:
            return take(self, batch, wire, **said)
        finally:
            self._store = store

    patch.setattr(Inbox, "_take", taking)


# What is received.


def no_dedupe(patch: Patch) -> None:
    """What comes again is recorded again."""
    _deceive(patch, lambda batch, number: batch.first <= number)


def a_gap_is_applied(patch: Patch) -> None:
    """What is missing is not missed."""
    _deceive(patch, lambda batch, number: batch.first > number + 1)


def no_root_check(patch: Patch) -> None:
    """Another history is as good as the one agreed on."""
    _without(patch, "sync.inbox.Inbox._must_agree")


def no_signature(patch: Patch) -> None:
    """Whoever writes a name is believed."""
    patch.setattr("sync.envelope.verify", lambda *_: True)


def no_receiver(patch: Patch) -> None:
    """What is meant for another is taken in as well."""
    take = Inbox._take  # noqa: SLF001

    def taking(self: Any, batch: Batch, wire: bytes, **said: Any) -> Outcome:
        org = self._ledger.org
        return take(self, batch.model_copy(update={"receiver": org}), wire, **said)

    patch.setattr(Inbox, "_take", taking)


def two_senders(patch: Patch) -> None:
    """The header's name is checked, the body's is believed."""

    def claims(self: Any, kind: Any) -> Any:
        if self.kind != kind.KIND:
            raise Malformed(where="kind")
        return kind.model_validate_json(self.body)

    patch.setattr("sync.envelope.Sealed.claims", claims)


def another_keeper(patch: Patch) -> None:
    """Whoever is enrolled may go on with anybody's stream."""
    take = checks.Arrivals.take

    def taking(self: Any, record: StoredEvent) -> None:
        known = self._streams[record.originator_id]
        sender, self.sender = self.sender, known.keeper or head(record).meta.keeper
        try:
            take(self, record)
        finally:
            self.sender = sender

    patch.setattr(checks.Arrivals, "take", taking)
    _without(patch, "sync.authority.check_author")


def _without(patch: Patch, where: str) -> None:
    patch.setattr(where, lambda *_, **__: None)


def another_author(patch: Patch) -> None:
    """Facts may be in another's name."""
    _without(patch, "sync.authority.check_author")


def any_opening(patch: Patch) -> None:
    """A stream may open with anything."""
    patch.setattr(authority, "OPENING", authority.OPENING | {"activity.cancelled"})


def no_handover_check(patch: Patch) -> None:
    """An origin may say that a host has accepted."""
    _without(patch, "sync.handover.check")


def no_part_in_an_absence(patch: Patch) -> None:
    """Whoever likes may say something about an absence."""
    _without(patch, "sync.authority._must_take_part")


def anybodys_claim(patch: Patch) -> None:
    """A claim is answered by one it was not addressed to."""
    patch.setitem(authority._RULES, authority.Claim, lambda *_: None)  # noqa: SLF001


def anybodys_member(patch: Patch) -> None:
    """An absence is registered of a member that another keeps."""
    patch.setitem(authority._RULES, Outflow, lambda *_: None)  # noqa: SLF001


def versions_not_counted(patch: Patch) -> None:
    """A stream goes on from wherever."""
    take = checks.Arrivals.take

    def taking(self: Any, record: StoredEvent) -> None:
        self._streams[record.originator_id].version = record.originator_version - 1
        take(self, record)

    patch.setattr(checks.Arrivals, "take", taking)


def keys_under_any_id(patch: Patch) -> None:
    """A granted key is kept under the id it claims."""

    class AnyId(UUID):
        def __ne__(self, _: object) -> bool:
            return False

        __hash__ = UUID.__hash__

    patch.setattr("sync.granted.key_id_of", lambda _: AnyId(int=0))


def one_of_two_values(patch: Patch) -> None:
    """Of two values under one name the last is read."""
    _without(patch, "sync.strict.read")


def parked_without_trace(patch: Patch) -> None:
    """What is set aside is forgotten."""
    record = Inbox._record  # noqa: SLF001

    def recording(self: Any, batch: Any, granted: Any, good: Any, _: Any, *rest: Any) -> Outcome:
        return record(self, batch, granted, good, (), *rest)

    patch.setattr(Inbox, "_record", recording)


def refused_without_trace(patch: Patch) -> None:
    """What is refused is not counted."""
    _without(patch, "tests.support.memory.lanes.MemoryLanes.refuse")


def granted_keys_forgotten(patch: Patch) -> None:
    """Keys are used for the check, and not kept."""
    record = Inbox._record  # noqa: SLF001

    def recording(self: Any, batch: Any, _: Any, *rest: Any) -> Outcome:
        return record(self, batch, {}, *rest)

    patch.setattr(Inbox, "_record", recording)


def lane_before_records(patch: Patch) -> None:
    """The lane's place is put down first; a crash, and its entries are never recorded."""

    def replicating(
        self: Any, records: Sequence[StoredEvent], tracking: Tracking, beside: Any = ()
    ) -> None:
        replicate(self, (), tracking, beside)
        if records:
            number = int(tracking.notification_id)
            replicate(self, records, Tracking(f"late:{tracking.application_name}", number))

    replicate = Ledger.replicate
    patch.setattr(Ledger, "replicate", replicating)


def one_fault_stops_the_lane(patch: Patch) -> None:
    """An entry that does not fit takes the good ones behind it along."""
    sort = Inbox._sort  # noqa: SLF001

    def sorting(self: Any, arrivals: Any, first: int, records: Any) -> Any:
        good, faults = sort(self, arrivals, first, records)
        return ([], faults) if faults else (good, faults)

    patch.setattr(Inbox, "_sort", sorting)


def late_is_refused(patch: Patch) -> None:
    """A message is judged by the clocks of two nodes."""
    take = Inbox._take  # noqa: SLF001

    def taking(self: Any, batch: Batch, wire: bytes, **said: Any) -> Outcome:
        if batch.sent_at > self._clock() + timedelta(minutes=5):
            raise Malformed(where="sent_at")
        return take(self, batch, wire, **said)

    patch.setattr(Inbox, "_take", taking)


def receipts_believed(patch: Patch) -> None:
    """A peer may acknowledge what it was never sent."""
    _without(patch, "sync.relay.Relay._take_in")


def receipts_run_backwards(patch: Patch) -> None:
    """An old receipt that arrives late takes the newest's place."""
    keep = MemoryLanes.keep_receipt

    def keeping(self: Any, receipt: LaneReceipt, *rest: Any) -> None:
        self._database.lane_receipts.pop(receipt.sender, None)
        keep(self, receipt, *rest)

    patch.setattr(MemoryLanes, "keep_receipt", keeping)


def forgotten_only_on_success(patch: Patch) -> None:
    """What a peer has changed is remembered as it was, if the commit's answer is lost."""

    def replicating(self: Any, records: Any, tracking: Tracking, beside: Any = ()) -> None:
        forget, self.forget = self.forget, lambda _: None
        try:
            replicate(self, records, tracking, beside)
        finally:
            self.forget = forget
        self.forget({record.originator_id for record in records})

    replicate = Ledger.replicate
    patch.setattr(Ledger, "replicate", replicating)


def memory_not_refreshed(patch: Patch) -> None:
    """What a peer has changed is remembered as it was."""
    _without(patch, "domain.ledger.Ledger.forget")


# What is sent.


def numbered_after_the_bookmark(patch: Patch) -> None:
    """The relay moves on, falls over, and a peer never hears of it."""

    def numbering(self: Any) -> int:
        here = self._store.bookmark()
        entries = self._ledger.since(here, 500)
        if entries:
            there = entries[-1].position
            self._store.number([], [], here, there, self._clock())
            page = Page(self._ledger, self._store, self.granting, self.peers(), {})
            page.take(entries)
            self._store.number(page.rows, page.grants, there, there, self._clock())
        return len(entries)

    patch.setattr(Relay, "number", numbering)


def grants_forgotten(patch: Patch) -> None:
    """The facts arrive, the keys to them do not."""
    _without(patch, "sync.numbering.Page._grant")


def everything_granted(patch: Patch) -> None:
    """Every key travels, whatever was agreed."""
    patch.setattr(Granting, "open_to", lambda *_: tuple(DataClass))


def joined_without_the_past(patch: Patch) -> None:
    """Whoever joins an audience hears what is said from then on."""

    def passing(_: Any, __: list[str], hearings: list[Any]) -> Any:
        for peer, _stream, entry in hearings:
            yield peer, entry.record, entry.position

    patch.setattr(Page, "_passing", passing)


def the_first_hears(patch: Patch) -> None:
    """Of an audience, one is told."""
    hearings = Page._hearings  # noqa: SLF001
    patch.setattr(Page, "_hearings", lambda self, entry: hearings(self, entry)[:1])


def news_of_others(patch: Patch) -> None:
    """What a peer has said is passed on, as if it were ours to say."""
    hearings = Page._hearings  # noqa: SLF001

    def hearing(self: Any, entry: Any) -> Any:
        org, self._ledger.org = self._ledger.org, entry.fact.meta.keeper
        try:
            peers = self._peers.keys() - {entry.fact.meta.keeper}
            return [h for h in hearings(self, entry) if h.peer in peers]
        except Refusal:
            return []
        finally:
            self._ledger.org = org

    def known(self: Any, entry: Any) -> Any:
        audience = set(entry.fact.meta.audience)
        return hearing(self, entry) if audience <= self._peers.keys() else hearings(self, entry)

    patch.setattr(Page, "_hearings", known)


def by_the_clock(patch: Patch) -> None:
    """What is sent is put in the order of its clocks."""
    passing = Page._passing  # noqa: SLF001

    def in_time(self: Any, codes: Any, hearings: Any) -> Any:
        return sorted(passing(self, codes, hearings), key=lambda p: head(p[1]).meta.recorded_at)

    patch.setattr(Page, "_passing", in_time)


def roots_without_a_past(patch: Patch) -> None:
    """A root is of one entry, and says nothing of those before it."""

    def alone(_: str, record: StoredEvent) -> str:
        return digest(record)

    for where in ("sync.inbox", "sync.numbering", "tests.simulation.mallory"):
        patch.setattr(f"{where}.next_root", alone)


def silence_is_never_broken(patch: Patch) -> None:
    """What a broker has lost is never sent again: no timer, no heartbeat."""
    patch.setattr(Lane, "overdue", lambda *_: False)
    patch.setattr(Lane, "may_send", lambda self, _: self.cursor < self.head)


def wants_unheard(patch: Patch) -> None:
    """A peer's wish to start over is passed over, and so is the silence behind it."""
    _without(patch, "sync.lane.Lane.want")
    patch.setattr(Lane, "overdue", lambda *_: False)


# What a node decides and remembers.


def bookmark_before_effect(patch: Patch) -> None:
    """A crash in between, and an acceptance is never answered."""

    def answering(self: Any) -> int:
        entries = self.ledger.since(self.recorder.max_tracking_id(CUSTODIAN) or 0, BATCH_MAX)
        if entries:
            self.recorder.insert_tracking(Tracking(CUSTODIAN, entries[-1].position))
        for entry in entries:
            command = custodian.answer(entry, self.ledger)
            if command is not None and entry.fact is not None:
                who = because_of(entry.fact.id, entry.fact.meta.correlation)
                try:
                    self.service.execute(command, who)
                except Refusal:
                    continue
        return len(entries)

    patch.setattr(Node, "answer_arrivals", answering)


def unwritten_is_answered(patch: Patch) -> None:
    """An answer that could not be written down counts as given."""
    execute = MemoryService.execute

    def executing(self: Any, command: Any, who: Any, version: Any = None) -> Any:
        try:
            return execute(self, command, who, version)
        except Refusal as refusal:
            if refusal.kind == "busy" and who.person == "waystation":
                raise Overtaken(id="?") from None
            raise

    patch.setattr(MemoryService, "execute", executing)


def confirmed_without_looking(patch: Patch) -> None:
    """An acceptance is confirmed, whether or not its offer still waits."""

    def confirming(outflow: Outflow, number: int, host: str, since: date, acceptance: str) -> None:
        made = outflow.offers.get(number)
        if made is not None and made.acceptance != acceptance:
            said = {"offer": number, "host": host, "since": since, "acceptance": acceptance}
            outflow.trigger(Outflow.Confirmed, **said)

    patch.setattr("domain.custody.confirm", confirming)


def answered_twice(patch: Patch) -> None:
    """The same acceptance, looked at again, is answered again."""

    def confirming(outflow: Outflow, number: int, host: str, since: date, acceptance: str) -> None:
        outflow.voided_acceptances = ()
        made = outflow.offers.get(number)
        if made is not None and made.acceptance == acceptance:
            outflow.settle(made._replace(acceptance=None))
        confirm(outflow, number, host, since, acceptance)

    confirm = custody.confirm
    patch.setattr("domain.custody.confirm", confirming)


def two_offers(patch: Patch) -> None:
    """A second host is asked while the first still thinks."""

    def offering(outflow: Outflow, host: str, valid_days: int, claim: UUID | None = None) -> None:
        outflow.must_be_registered()
        until = current.get().now + timedelta(days=valid_days)
        said = {"offer": len(outflow.offers) + 1, "host": host, "until": until, "claim": claim}
        outflow.trigger(Outflow.Offered, share_with=(host,), **said)

    patch.setattr("domain.custody.offer", offering)


def lapsed_too_early(patch: Patch) -> None:
    """An offer lapses because somebody says so."""

    def lapsing(outflow: Outflow, number: int) -> None:
        custody._must_wait(outflow, number)  # noqa: SLF001
        outflow.trigger(Outflow.Lapsed, offer=number)

    patch.setattr("domain.custody.lapse", lapsing)


def asked_again_done_again(patch: Patch) -> None:
    """Who asks again with the same key is taken for somebody else."""
    patch.setattr(MemoryService, "replayed", lambda *_: None)
    stamp = MemoryService._stamp  # noqa: SLF001

    def stamping(self: Any, who: Any) -> Any:
        return replace(stamp(self, who), command=UUID(bytes=draw(16), version=4))

    patch.setattr(MemoryService, "_stamp", stamping)


def sealed_to_no_place(patch: Patch) -> None:
    """A sealed value opens wherever it is put."""
    patch.setattr(Place, "binding", lambda *_: b"")


# What people read.


def the_last_clock_wins(patch: Patch) -> None:
    """Of two facts the one with the later clock is shown."""
    flow = Custody._flow  # noqa: SLF001

    def flowing(self: Any, fact: Any, rows: Any) -> None:
        row = rows.get(fact.originator_id)
        if row is None or row["since"] is None or fact.meta.recorded_at >= row["since"]:
            flow(self, fact, rows)

    patch.setattr(Custody, "_flow", flowing)


def each_batch_for_itself(patch: Patch) -> None:
    """What a batch before has shown is not looked up."""

    def ensuring(self: Any) -> None:
        self._load = None

    patch.setattr(LateRows, "_ensure", ensuring)


def shown_by_who_is_at_home(patch: Patch) -> None:
    """The board shows who reads it, not who has the care."""
    flow = Custody._flow  # noqa: SLF001

    def flowing(self: Any, fact: Any, rows: Any) -> None:
        flow(self, fact, rows)
        if isinstance(fact, Outflow.Relocated):
            rows.put(fact.originator_id, carer=self.keyring._org)  # noqa: SLF001

    patch.setattr(Custody, "_flow", flowing)


BUGS: tuple[Plant, ...] = (
    no_dedupe,
    a_gap_is_applied,
    no_root_check,
    no_signature,
    no_receiver,
    two_senders,
    another_keeper,
    another_author,
    any_opening,
    no_handover_check,
    no_part_in_an_absence,
    anybodys_claim,
    anybodys_member,
    versions_not_counted,
    keys_under_any_id,
    one_of_two_values,
    parked_without_trace,
    refused_without_trace,
    granted_keys_forgotten,
    lane_before_records,
    one_fault_stops_the_lane,
    late_is_refused,
    receipts_believed,
    receipts_run_backwards,
    forgotten_only_on_success,
    memory_not_refreshed,
    numbered_after_the_bookmark,
    grants_forgotten,
    everything_granted,
    joined_without_the_past,
    the_first_hears,
    news_of_others,
    by_the_clock,
    roots_without_a_past,
    silence_is_never_broken,
    wants_unheard,
    bookmark_before_effect,
    unwritten_is_answered,
    confirmed_without_looking,
    answered_twice,
    two_offers,
    lapsed_too_early,
    asked_again_done_again,
    sealed_to_no_place,
    the_last_clock_wins,
    each_batch_for_itself,
    shown_by_who_is_at_home,
)
