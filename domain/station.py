"""联络服务站: the origin's own outpost in the place where its members live."""

from __future__ import annotations

from typing import ClassVar
from uuid import NAMESPACE_URL, UUID, uuid5

from domain.aggregate import Aggregate, Fact
from domain.aggregate import current as stamp
from domain.errors import Refusal
from domain.values import OrgCode, Text


class StationClosed(Refusal):
    """该联络服务站已撤销。The station is closed."""


class Station(Aggregate):
    """A liaison station, kept by the organization that set it up."""

    class Established(Fact):
        """设站."""

        TOPIC: ClassVar[str] = "station.established"
        code: OrgCode
        name: Text
        city: Text
        approval: Text
        host_office: Text | None = None

        def apply(self, station: Station) -> None:
            station.code, station.name, station.city = self.code, self.name, self.city

    class Closed(Fact):
        """撤站."""

        TOPIC: ClassVar[str] = "station.closed"
        reason: Text

        def apply(self, station: Station) -> None:
            station.closed = True

    def __init__(self, id: UUID, keeper: OrgCode) -> None:  # noqa: A002
        super().__init__(id, keeper)
        self.code: OrgCode = ""
        self.name = self.city = ""
        self.closed = False

    @staticmethod
    def id_of(org: OrgCode, code: OrgCode) -> UUID:
        """One stream a code of one organization; another's stations are its own affair."""
        return uuid5(NAMESPACE_URL, f"station:{org}:{code}")

    @classmethod
    def establish(  # noqa: PLR0913 - what the approval document states.
        cls,
        code: OrgCode,
        name: str,
        city: str,
        approval: str,
        host_office: str | None,
        *,
        peers: tuple[OrgCode, ...],
    ) -> Station:
        """Set up a station; the approval's number is required at county level or above."""
        station = cls.begin(cls.id_of(stamp.get().author.org, code))
        station.trigger(
            cls.Established,
            share_with=peers,
            code=code,
            name=name,
            city=city,
            approval=approval,
            host_office=host_office,
        )
        return station

    def close(self, reason: str) -> None:
        if self.closed:
            raise StationClosed(station=self.code)
        self.trigger(self.Closed, reason=reason)
