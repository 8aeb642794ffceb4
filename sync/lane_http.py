"""HTTP 通道: the peer pulls with long polling, and fetches ahead where it is behind."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime
from functools import partial
from threading import Event, Lock, Thread
from typing import NamedTuple

import httpx

from domain.values import OrgCode
from sync.inbox import Inbox
from sync.receipts import Receipts
from sync.relay import Relay
from sync.retry import PullState
from sync.signed_http import TIMEOUT_S, Answer, Signer, authorities, request

LAST = "Waystation-Last"
"""The header in which a batch's last number is said, unsigned: only what to ask for next."""

LAST_FORM = re.compile(r"[0-9]{1,16}")

_log = logging.getLogger(__name__)


class _Came(NamedTuple):
    """A batch that was fetched, and up to which number its peer says it goes."""

    wire: bytes
    last: int | None


def _begun(fetch: Callable[[], _Came], name: str) -> Future[_Came]:
    """Fetch in a thread of its own, which nobody need wait for."""
    future: Future[_Came] = Future()

    def run() -> None:
        try:
            future.set_result(fetch())
        except Exception as fault:  # noqa: BLE001 - raised where the batch is wanted.
            future.set_exception(fault)

    Thread(target=run, name=name, daemon=True).start()
    return future


class Puller:
    """Pulls one peer's lane: ask for what follows, accept it, send the receipt; for ever."""

    def __init__(  # noqa: PLR0913 - the parts of a node, once.
        self,
        peer: OrgCode,
        relay: Relay,
        inbox: Inbox,
        signer: Signer,
        *,
        org: OrgCode,
        after: Callable[[], int],
        poll_seconds: float,
        clock: Callable[[], datetime],
    ) -> None:
        self.state, self._greeted = PullState(peer), False
        self._relay, self._inbox, self._signer, self._org = relay, inbox, signer, org
        self._after, self._poll_s, self._clock = after, poll_seconds, clock
        self._stop, self._again, self._recording = Event(), Event(), Lock()
        self._behind = False
        self._ahead: Future[_Came] | None = None
        self._client = httpx.Client(verify=authorities(), trust_env=False, follow_redirects=False)
        self._receipts = Receipts(f"receipts-{peer}", self._acknowledge)
        self._thread = Thread(target=self._run, name=f"pull-{peer}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._receipts.start()
        self._thread.start()

    def stop(self) -> None:
        """Stop: what is being recorded is finished; a poll that waits for news is left behind."""
        self._stop.set()
        self._again.set()
        self._receipts.stop()
        with self._recording:
            self._client.close()

    def retry(self) -> None:
        """Try at once, and begin to count the failures anew."""
        self.state.well()
        self._again.set()

    def tell(self) -> None:
        """Have the peer told where its lane stands here, and what is set aside."""
        self._receipts.put(self._inbox.receipt(self.state.peer))

    @property
    def alive(self) -> bool:
        """Whether it still works, or was stopped."""
        return self._thread.is_alive() or self._stop.is_set()

    def step(self) -> int:
        """One exchange; how many entries were new. Its receipt follows by itself.

        Raises:
            httpx.HTTPError, NotEnrolled: the peer did not answer as agreed.
        """
        self._receipts.check()
        ahead, self._ahead = self._ahead, None
        # The first waits for no news.
        wait = self._poll_s * self._greeted
        came = ahead.result() if ahead else self._fetch(self._after(), wait)
        with self._recording:
            if self._stop.is_set():
                return 0
            following = self._fetch_ahead(came.last) if self._behind else None
            outcome = self._inbox.accept(came.wire)
        # Of what was not recorded nothing follows.
        self._ahead = following if outcome.fault is None else None
        self._behind = outcome.behind
        self.state.last_heard = self._clock()
        if outcome.fault is not None:
            self.state.last_error = str(outcome.fault)
            _log.warning("Batch of %s refused: %s", self.state.peer, outcome.fault)
            if outcome.answer:
                self._acknowledge(outcome.answer)
            raise httpx.HTTPError(str(outcome.fault))
        if outcome.answer and (outcome.new or not self._greeted):
            self._receipts.put(outcome.answer)
            self._greeted = True
        return outcome.recorded

    def _fetch_ahead(self, last: int | None) -> Future[_Came] | None:
        if last is None:
            return None
        return _begun(partial(self._fetch, last, 0.0), f"{self._thread.name}-ahead")

    def _fetch(self, after: int, wait: float) -> _Came:
        peer = self._relay.peer(self.state.peer)
        # It names whom it is for: nobody can pass it off elsewhere.
        url = f"{peer.address}/lanes/{self._org}?of={peer.code}&after={after}&wait={wait}"
        answer = self._request("GET", url, None, wait + TIMEOUT_S)
        last = answer.headers.get(LAST, "")
        return _Came(answer.body, int(last) if LAST_FORM.fullmatch(last) else None)

    def _acknowledge(self, receipt: bytes) -> None:
        url = f"{self._relay.peer(self.state.peer).address}/lanes/receipts"
        try:
            self._request("POST", url, receipt, TIMEOUT_S)
        except Exception:
            self._greeted = False  # Said again with the next batch, whatever it holds.
            raise

    def _request(self, method: str, url: str, body: bytes | None, timeout: float) -> Answer:
        return request(self._client, self._signer, method, url, body, timeout)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._again.clear()
                self.step()
                self.state.well()
            except Exception as fault:  # noqa: BLE001 - the lane waits and tries again, visibly.
                if self._stop.is_set():
                    return
                wait = self.state.failed(fault, self._clock())
                _log.info("Lane from %s: %s", self.state.peer, self.state.last_error)
                self._again.wait(wait)
