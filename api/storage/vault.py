"""钥匙槽: one secret a key, in a file beside the database, so that a key can be destroyed for good.

A key's row in the database is wrapped by the master key *and* by its own slot. Whoever has the
database, its log of changes, its dead rows or a backup of it cannot open a key whose slot was
overwritten, and the keys of everybody else open as before. The ids of what was destroyed stand in a
second file: what an old backup brings back is destroyed again.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from uuid import UUID

from domain import suite
from domain.errors import Refusal
from domain.values import DataClass

SLOT_BYTES = 32
DRAWN_MAX = 256
"""Slots made at once; those a process has not used when it ends stay unused for ever."""

_EMPTY = bytes(SLOT_BYTES)
_KEY, _PERSON = "key", "person"


class VaultDamaged(Refusal):
    """钥匙槽文件已损坏。The file of slots, or of destroyed keys, is damaged."""

    mend = "请恢复 keys 文件夹的备份。Restore the folder keys/ from its backup."


class Vault:
    """The slots of one node, and what was destroyed.

    Slots are numbered by their place in the file. New ones are always made at its end, so a number
    that a lost database has used is never used again. Without a folder it keeps nothing (tests).
    """

    def __init__(self, folder: Path | None, master: bytes) -> None:
        self._master = master
        self._lock = Lock()
        self._drawn: deque[int] = deque()
        self.keys: set[UUID] = set()
        """The keys that were destroyed."""
        self.persons: set[tuple[UUID, DataClass]] = set()
        """Whose data of which class are erased."""
        self._emptied: set[int] = set()
        self._slots = -1
        self._list: Path | None = None
        if folder is not None:
            self._list = folder / "destroyed"
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._slots = os.open(folder / "slots", flags, 0o600)
            self._read_list()

    def close(self) -> None:
        """Let go of the file."""
        if self._slots >= 0:
            os.close(self._slots)
            self._slots = -1

    def draw(self) -> int:
        """The number of a slot that nobody has used."""
        with self._lock:
            if not self._drawn:
                self._drawn.extend(self._more())
            return self._drawn.popleft()

    def wrapping(self, slot: int) -> bytes | None:
        """The secret that wraps the key of a slot; None once it is destroyed."""
        if self._slots < 0:
            if slot in self._emptied:
                return None
            secret = suite.mac(self._master, b"waystation/slot/v0%d" % slot)
        else:
            secret = os.pread(self._slots, SLOT_BYTES, slot * SLOT_BYTES)
            if len(secret) != SLOT_BYTES or secret == _EMPTY:
                return None
        return suite.mac(self._master, b"waystation/slot/v1" + secret)

    def destroy(
        self,
        persons: Iterable[tuple[UUID, DataClass]],
        keys: Iterable[UUID],
        slots: Iterable[int],
    ) -> None:
        """Put down what is destroyed, then overwrite the slots; each on the disk before the next.

        In this order: once a line is there, every start destroys again what it names.
        """
        persons, keys = set(persons), set(keys)
        with self._lock:
            self._put_down(persons - self.persons, keys - self.keys)
            self.persons |= persons
            self.keys |= keys
            for slot in slots:
                self._emptied.add(slot)
                if self._slots >= 0:
                    os.pwrite(self._slots, _EMPTY, slot * SLOT_BYTES)
            if self._slots >= 0:
                os.fdatasync(self._slots)

    def _more(self) -> range:
        if self._slots < 0:
            first = int.from_bytes(os.urandom(7))
            return range(first, first + DRAWN_MAX)
        end = os.fstat(self._slots).st_size
        first = -(-end // SLOT_BYTES)  # What a crash has cut short is passed over.
        os.pwrite(self._slots, os.urandom(SLOT_BYTES * DRAWN_MAX), first * SLOT_BYTES)
        os.fsync(self._slots)
        return range(first, first + DRAWN_MAX)

    def _put_down(self, persons: set[tuple[UUID, DataClass]], keys: set[UUID]) -> None:
        if self._list is None or not (persons or keys):
            return
        lines = [f"{_PERSON} {subject} {data_class}\n" for subject, data_class in persons]
        lines += [f"{_KEY} {key}\n" for key in keys]
        descriptor = os.open(self._list, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            # What a crash has cut short is written over: its line was never relied upon.
            file.seek(file.read().rfind(b"\n") + 1)
            file.write("".join(sorted(lines)).encode())
            file.truncate()
            file.flush()
            os.fsync(file.fileno())

    def _read_list(self) -> None:
        """Read what was destroyed.

        Raises:
            VaultDamaged: a whole line says something else.
        """
        assert self._list is not None
        if not self._list.exists():
            return
        whole = self._list.read_bytes().decode("ascii", "replace").rpartition("\n")[0]
        for number, line in enumerate(whole.split("\n") if whole else (), 1):
            try:
                match line.split(" "):
                    # In the one spelling that is written: a line that reads otherwise was changed.
                    case [str(kind), key] if kind == _KEY and str(UUID(key)) == key:
                        self.keys.add(UUID(key))
                    case [str(kind), subject, data_class] if (
                        kind == _PERSON and str(UUID(subject)) == subject
                    ):
                        self.persons.add((UUID(subject), DataClass(data_class)))
                    case _:
                        raise VaultDamaged(file=str(self._list), line=number)
            except ValueError:
                raise VaultDamaged(file=str(self._list), line=number) from None
