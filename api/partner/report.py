"""检查报告: what was tried on a node and what came of it, signed by the probe that tried it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo
from pydantic import field_validator as validates
from rich.table import Column, Table
from rich.text import Text

from domain.errors import Invalid
from domain.values import OrgCode
from sync import strict
from sync.card import read_card
from sync.envelope import LaneReceipt, Message, Moment, Number, Sealed
from sync.errors import LaneFault

CHECKS_MAX = 100
"""Findings of one report."""

OBSERVED_MAX = 500
"""Characters of what was observed."""

Verdict = Literal["pass", "fail", "not run"]
Words = Annotated[str, StringConstraints(max_length=OBSERVED_MAX)]
SHOWN: dict[Verdict, str] = {
    "pass": "[green]通过 pass[/green]",
    "fail": "[bold red]不通过 fail[/bold red]",
    "not run": "[yellow]未查 not run[/yellow]",
}


class BadReport(Invalid):
    """检查报告不可信。The report is not what its probe signed."""

    mend = "请向检查方索取原件。Ask whoever made it for the original file."


class Failed(Exception):  # noqa: N818 - a verdict.
    """The node did something else than the protocol expects; says what."""


class NotRun(Exception):  # noqa: N818 - a verdict.
    """It could not be seen what the node does; says why."""


class Finding(BaseModel):
    """One check: what was sent, what the protocol expects, what the node did."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: Annotated[str, StringConstraints(max_length=40)]
    sent: Words
    expected: Words
    observed: Words
    verdict: Verdict


class Report(Message):
    """检查报告: both cards, the findings in their order, and the node's own last receipt.

    The receipt is signed by the node: that it was this node which answered is not the probe's
    word alone.
    """

    KIND: ClassVar[str] = "check"

    probe: str
    node: str
    node_code: OrgCode
    url: Annotated[str, StringConstraints(max_length=300)]
    protocol: Literal["v1"] = "v1"
    software: Annotated[str, StringConstraints(max_length=60)]
    started: Moment
    ended: Moment
    findings: Annotated[tuple[Finding, ...], Field(min_length=1, max_length=CHECKS_MAX)]
    counts: dict[Verdict, Number]
    entries: Number
    """Of the probe's lane, which the node has and keeps."""
    receipt: str | None = None

    @validates("counts")
    @classmethod
    def _counted(cls, counts: dict[Verdict, int], info: ValidationInfo) -> dict[Verdict, int]:
        if counts != count(info.data.get("findings", ())):
            raise ValueError("The counts are not those of the findings.")
        return counts

    @property
    def passed(self) -> bool:
        """Whether every check was run, with the outcome that the protocol expects."""
        return all(finding.verdict == "pass" for finding in self.findings)


def count(findings: Sequence[Finding]) -> dict[Verdict, int]:
    """How many of each verdict."""
    return {verdict: sum(f.verdict == verdict for f in findings) for verdict in SHOWN}


class Opened:
    """A report that is what its probe signed, with the two cards in it."""

    def __init__(self, wire: bytes) -> None:
        """Check all that can be checked without asking anybody.

        Raises:
            BadReport: it was altered, or a part of it is not what it is said to be.
        """
        try:
            sealed = Sealed(wire)
            said: Any = strict.read(sealed.body, "report")
            self.probe = read_card(str(said["probe"]).encode())
            self.report = sealed.open(Report, self.probe.verify_key)
            self.node = read_card(self.report.node.encode())
            self._must_belong_together()
        except (LaneFault, KeyError, TypeError, UnicodeError) as fault:
            raise BadReport(because=str(fault)) from None

    def _must_belong_together(self) -> None:
        report = self.report
        if self.probe.sender != report.sender or self.node.sender != report.node_code:
            raise KeyError("card")
        if report.receipt is not None:
            sealed = Sealed(report.receipt.encode())
            receipt = sealed.open(LaneReceipt, self.node.verify_key)
            if (receipt.sender, receipt.receiver) != (self.node.sender, report.sender):
                raise KeyError("receipt")
            if receipt.number != report.entries:
                raise KeyError("entries")

    def table(self) -> Table:
        """The findings, as people read them."""
        report = self.report
        day = report.started.strftime("%Y-%m-%d %H:%MZ")
        title = _plain(f"{self.node.name}（{self.node.sender}）· {day} · {report.url}")
        heads = ("检查 check", "结果 verdict", "应当 expected", "实际 observed")
        table = Table(*(Column(head, overflow="fold") for head in heads), title=title)
        for each in report.findings:
            sent, expected, observed = map(
                _plain, (f"{each.sent} ({each.name})", each.expected, each.observed)
            )
            table.add_row(sent, SHOWN[each.verdict], expected, observed)
        return table


def _plain(text: str) -> Text:
    """What a node has answered is neither markup nor an order to a terminal."""
    return Text("".join(c if c.isprintable() else "\ufffd" for c in text))
