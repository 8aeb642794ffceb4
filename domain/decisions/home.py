"""本组织: decisions about an organization's own affairs: itself, peers, units, stations, policy."""

from __future__ import annotations

from uuid import UUID

from domain.access import Access
from domain.aggregate import current as stamp
from domain.agreement import Agreement
from domain.commands import (
    AdoptPolicy,
    ChangeKeys,
    CloseStation,
    CloseUnit,
    EnrolPeer,
    EstablishStation,
    ForgetReads,
    FoundOrganization,
    KeepCertificate,
    OpenSignet,
    OpenUnit,
    RekeyPeer,
    RenameUnit,
    SealReads,
    TellReads,
)
from domain.decisions.table import Decision, decide
from domain.inflow import Inflow
from domain.ledger import Ledger, NotOurs
from domain.organization import Organization
from domain.outflow import Outflow
from domain.pact import Pact
from domain.policy import Policy
from domain.signet import Signet
from domain.station import Station
from domain.unit import Unit
from domain.values import OrgCode


def us(ledger: Ledger) -> Organization:
    """This node's organization."""
    return ledger.look_up(Organization, Organization.id_of(ledger.org))


def peers(ledger: Ledger) -> tuple[OrgCode, ...]:
    """The codes of the enrolled peers."""
    return tuple(us(ledger).peers)


def here(ledger: Ledger, absence: UUID) -> bool:
    """Whether an absence is in this ledger.

    A restored one may have its member back, who is away, and have lost what nobody was sent.
    """
    return ledger.find(Outflow, absence) is not None


def policy_of(ledger: Ledger, org: OrgCode) -> Policy:
    """An organization's policy, or an empty one."""
    return ledger.find(Policy, Policy.id_of(org)) or Policy(Policy.id_of(org), org)


def pact_with(ledger: Ledger, peer: OrgCode) -> Pact:
    """Our pact with a peer, or one that is not concluded yet."""
    id_ = Pact.id_of(ledger.org, peer)
    return (ledger.find(Pact, id_) or Pact(id_, ledger.org)).private_copy()


def arrival_here(ledger: Ledger, outflow: Outflow) -> Inflow | None:
    """This organization's one stream about an absence: what found the member, or its own."""
    claims = (o.claim for o in outflow.offers.values() if o.claim and o.host == ledger.org)
    ids = (Inflow.id_of(outflow.id, ledger.org), *claims)
    known = (inflow for id_ in ids if (inflow := ledger.find(Inflow, id_)))
    return next((inflow for inflow in known if inflow.keeper == ledger.org), None)


@decide.register
def _(command: FoundOrganization, ledger: Ledger) -> Decision:
    if command.code != ledger.org:
        raise NotOurs(kind="organization", id=command.code, keeper=command.code)
    return (Organization.found(**dict(command)),)


@decide.register
def _(command: EnrolPeer, ledger: Ledger) -> Decision:
    organization = ledger.open(Organization, Organization.id_of(ledger.org))
    organization.enrol(command.peer)
    policy = policy_of(ledger, ledger.org).private_copy()
    if policy.version:
        policy.share(command.peer.code)
    changed: Decision = organization, policy
    if signet := ledger.find(Signet, Signet.id_of(ledger.org)):
        signet = signet.private_copy()
        signet.share(command.peer.code)
        changed += (signet,)
    if command.pact is not None:
        pact = pact_with(ledger, command.peer.code)
        pact.agree(command.peer.code, command.pact)
        changed += (pact,)
    return changed


@decide.register
def _(command: RekeyPeer, ledger: Ledger) -> Decision:
    organization = ledger.open(Organization, Organization.id_of(ledger.org))
    organization.rekey_compared(command.peer, command.until, command.reason, command.second_person)
    return (organization,)


@decide.register
def _(command: OpenSignet, ledger: Ledger) -> Decision:
    return (Signet.open(ledger.org, command.verify_key, command.sealing_key, command.reads),)


@decide.register
def _(command: TellReads, ledger: Ledger) -> Decision:
    signet = ledger.open(Signet, Signet.id_of(ledger.org))
    signet.tell(command.reads, peers(ledger))
    return (signet,)


@decide.register
def _(command: ChangeKeys, ledger: Ledger) -> Decision:
    signet = ledger.open(Signet, Signet.id_of(ledger.org))
    signet.change(
        command.how,
        command.succession,
        peers(ledger),
        reason=command.reason,
        second_person=command.second_person,
    )
    return (signet,)


@decide.register
def _(command: AdoptPolicy, ledger: Ledger) -> Decision:
    policy = policy_of(ledger, ledger.org).private_copy()
    policy.adopt(command.terms, command.effective_from, peers(ledger))
    return (policy,)


@decide.register
def _(command: EstablishStation, ledger: Ledger) -> Decision:
    return (Station.establish(**dict(command), peers=peers(ledger)),)


@decide.register
def _(command: CloseStation, ledger: Ledger) -> Decision:
    station = ledger.open(Station, command.station)
    station.close(command.reason)
    return (station,)


@decide.register
def _(command: OpenUnit, ledger: Ledger) -> Decision:
    parent = ledger.look_up(Unit, command.parent) if command.parent else None
    return (Unit.open(stamp.get().new_id("unit"), command.name, command.kind, parent),)


@decide.register
def _(command: RenameUnit, ledger: Ledger) -> Decision:
    unit = ledger.open(Unit, command.unit)
    unit.rename(command.name)
    return (unit,)


@decide.register
def _(command: CloseUnit, ledger: Ledger) -> Decision:
    unit = ledger.open(Unit, command.unit)
    unit.close(command.reason)
    return (unit,)


@decide.register
def _(command: KeepCertificate, ledger: Ledger) -> Decision:
    us(ledger).peer(command.peer)
    stream = Agreement.id_of(ledger.org, command.peer)
    agreement = (ledger.find(Agreement, stream) or Agreement(stream, ledger.org)).private_copy()
    agreement.certify(**dict(command))
    return (agreement,)


def _reads_of_today(ledger: Ledger) -> Access:
    known = ledger.find(Access, Access.id_of(ledger.org, stamp.get().today))
    return known.private_copy() if known else Access.of_today(ledger.org)


@decide.register
def _(command: SealReads, ledger: Ledger) -> Decision:
    access = _reads_of_today(ledger)
    access.seal(command.first, command.last, command.root)
    return (access,)


@decide.register
def _(command: ForgetReads, ledger: Ledger) -> Decision:
    access = _reads_of_today(ledger)
    access.forget(command.last)
    return (access,)
