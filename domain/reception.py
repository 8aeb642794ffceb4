"""接收答复: what the receiver's answers do to a transfer, in the one order that decides."""

from __future__ import annotations

from datetime import date
from typing import Any

from domain.aggregate import CIVIL_ZONE, must_not_lie_ahead
from domain.passage import AdmittedOutsideValidity, SlipBeforeAdmission, SlipFromPeer, State
from domain.transfer import Transfer


def note_refusal(transfer: Transfer, dispatch: int, reason_code: str, refusal: str) -> None:
    """The receiver has refused; after anything else has ended the dispatch, nothing to note."""
    if transfer.awaits(dispatch):
        transfer.trigger(
            Transfer.Contested, dispatch=dispatch, reason_code=reason_code, refusal=refusal
        )


def note_admission(transfer: Transfer, dispatch: int, admitted_on: date, admission: str) -> None:
    """Answer an admission: it counts if its dispatch is on its way, else it is void.

    The order of this stream decides, never a clock. Twice the same changes nothing.
    """
    if admission == transfer.admission or admission in transfer.voided_admissions:
        return
    if transfer.awaits(dispatch):
        transfer.trigger(
            Transfer.Admitted, dispatch=dispatch, admitted_on=admitted_on, admission=admission
        )
        return
    sent_anew = bool(transfer.dispatches) and transfer.last.number != dispatch
    because = "sent anew" if sent_anew else transfer.state.name.lower()
    transfer.trigger(
        Transfer.AdmissionVoid, dispatch=dispatch, admission=admission, because=because
    )


def complete(transfer: Transfer, dispatch: int, returned_on: date, slip: str) -> bool:
    """The receiver's slip has come; whether the affiliation passes with it."""
    if transfer.state is not State.ADMITTED or transfer.last.number != dispatch:
        return False
    transfer.trigger(
        Transfer.Completed,
        dispatch=dispatch,
        admitted_on=transfer.admitted_on,
        returned_on=returned_on,
        slip=slip,
    )
    return True


def complete_on_paper(
    transfer: Transfer, admitted_on: date, returned_on: date, **slip: Any
) -> None:
    """The slip of an organization without a node; it may come after the letter's last day."""
    if transfer.to is not None:
        raise SlipFromPeer(transfer=transfer.id, to=transfer.to)
    transfer.must_be(State.SENT, State.EXPIRED)
    last_day = transfer.last.until.astimezone(CIVIL_ZONE).date()
    if not transfer.last.sent_on <= admitted_on <= last_day:
        span = {"sent_on": transfer.last.sent_on.isoformat(), "until": last_day.isoformat()}
        raise AdmittedOutsideValidity(admitted_on=admitted_on.isoformat(), **span)
    must_not_lie_ahead(returned_on)
    if returned_on < admitted_on:
        raise SlipBeforeAdmission(admitted_on=admitted_on.isoformat())
    transfer.trigger(
        Transfer.Completed,
        dispatch=transfer.last.number,
        admitted_on=admitted_on,
        returned_on=returned_on,
        **slip,
    )
