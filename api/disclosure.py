"""择要出示: which personal fields a passport shows, each by a key that opens it alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from eventsourcing.persistence import StoredEvent
from pydantic_core import from_json

from domain.errors import Invalid
from domain.records import head
from domain.sealing import Keyring, Place, Sealed, Unopenable, field_secret
from sync.keys import b64
from sync.verifier.opened import sealed_fields


class NotSealed(Invalid):
    """这些记录里没有这个密封的字段。Nothing is sealed under that name in these records."""

    mend = (
        "请写 known 之一；未密封的内容随记录一并出示，不能隐去。"
        "Name one of those under known; what is not sealed is shown with its fact, always."
    )


class ChosenTwice(Invalid):
    """opened、show、hide 只能用一个。Only one of opened, show and hide can be chosen."""

    mend = (
        "全部出示用 opened，只出示几项用 show，除几项外都出示用 hide。"
        "Everything: opened; only some fields: show; all but some: hide."
    )


class SealedField(NamedTuple):
    """One field of one fact."""

    record: StoredEvent
    name: str
    value: Sealed


class Choice(NamedTuple):
    """Which fields are shown: none, all of them, only some, or all but some."""

    opened: bool = False
    show: tuple[str, ...] = ()
    hide: tuple[str, ...] = ()

    @property
    def opens(self) -> bool:
        """Whether anything is shown.

        Raises:
            ChosenTwice.
        """
        if sum(map(bool, self)) > 1:
            raise ChosenTwice
        return any(self)

    def hidden(self, fields: Iterable[SealedField]) -> list[str]:
        """The names that are not shown, of fields that are sealed.

        Raises:
            NotSealed.
        """
        sealed = {field.name for field in fields}
        for name in (*self.show, *self.hide):
            if name not in sealed:
                raise NotSealed(field=name, known=sorted(sealed))
        return sorted(sealed.difference(self.show) if self.show else set(self.hide))


def sealed_in(records: Iterable[StoredEvent]) -> Iterator[SealedField]:
    """As they are stored: also of a fact that only a newer version can read."""
    for record in records:
        said = from_json(record.state)
        for name in sealed_fields(said):
            yield SealedField(record, name, Sealed(said[name]))


def keys(keyring: Keyring, fields: Sequence[SealedField]) -> Iterator[dict[str, Any]]:
    """The key of each field, as far as it opens here: what was erased stays sealed."""
    held = keyring.preload(value.key_id for _, _, value in fields)
    for record, name, value in fields:
        if (key := held.get(value.key_id)) is None:
            continue
        try:
            secret = field_secret(value, key, name, _place(record))
        except Unopenable:
            continue  # Nobody can read it: it is shown as what it is, sealed.
        yield {
            "stream": str(record.originator_id),
            "version": record.originator_version,
            "field": name,
            "secret": b64(secret),
        }


def _place(record: StoredEvent) -> Place:
    meta, stream = head(record).meta, record.originator_id
    version, schema = record.originator_version, meta.schema_version
    return Place(meta.keeper, stream, version, record.topic, schema)  # type: ignore[arg-type]
