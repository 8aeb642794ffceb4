"""密钥夹: the files in which a node keeps its keys, outside its database."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from domain.errors import Refusal
from sync.keys import SEED_SIZE, NodeKeys, Pair

OPENERS_MAX = 8
"""Former pairs that still open what was sealed to them; what is older is never under way."""

_PAIR, _OPENER = ".pair", ".opens"
_SECRETS = ("master", "blind")

SEARCH = "search.key"
"""The key of what people are searched by; unlike the others it can be made anew."""


class KeyMissing(Refusal):
    """密钥夹中没有本组织现用的密钥。The keys in use are not in the folder of keys."""

    mend = (
        "请恢复 keys 文件夹的备份；确已遗失的：waystation keys replace。"
        "Restore the folder keys/ from its backup; if it is lost for good: waystation keys replace."
    )


class KeyDamaged(Refusal):
    """密钥文件已损坏。A file of keys is damaged."""

    mend = "请恢复 keys 文件夹的备份。Restore the folder keys/ from its backup."


class KeyFolder:
    """Which pair is in use stands in the ledger; the folder holds the secrets by their public key.

    So a change of keys is one commit, and there is no moment at which files and ledger disagree: a
    pair the ledger does not name yet is the next one. Without a path everything is in memory.
    """

    def __init__(self, path: Path | None, keys: NodeKeys, pairs: dict[str, Pair]) -> None:
        self._path, self.keys, self._pairs = path, keys, pairs

    @classmethod
    def of(cls, keys: NodeKeys) -> KeyFolder:
        """Kept nowhere (tests)."""
        return cls(None, keys, {pair.verify_key: pair for pair in keys.signers})

    @classmethod
    def load(cls, path: Path) -> KeyFolder:
        """The keys of a folder; made at the first start, readable by the owner alone.

        Raises:
            KeyDamaged.
        """
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        first = not any(path.glob(f"*{_PAIR}"))
        # The pair comes last: where it is, the secrets were, and none is made again in silence.
        master, blind = (_secret(path / f"{name}.key", make=first) for name in _SECRETS)
        search = _secret(path / SEARCH, make=True)
        if first:
            _keep_pair(path, Pair.generate())
        found = sorted(path.glob(f"*{_PAIR}"), key=_age)
        pairs = [_pair(file) for file in found]
        opening = sorted(path.glob(f"*{_OPENER}"), key=_age, reverse=True)[:OPENERS_MAX]
        openers = tuple(
            X25519PrivateKey.from_private_bytes(_read(file, SEED_SIZE)) for file in opening
        )
        keys = NodeKeys(pairs[-1], master, blind, openers, search)
        return cls(path, keys, {pair.verify_key: pair for pair in pairs})

    def choose(self, verify_key: str, before: str | None, named: tuple[str, ...]) -> None:
        """Sign by the pair in use, beside it by the one before if it is still here, by no other.

        Raises:
            KeyMissing.
        """
        pair = self._pairs.get(verify_key)
        if pair is None:
            raise KeyMissing(verify_key=verify_key)
        old = self._pairs.get(before or "")
        self.keys.signers = (pair, old) if old else (pair,)
        for gone in self._pairs.keys() & set(named) - {verify_key, before}:
            self.retire(gone)

    def next_pair(self, named: tuple[str, ...]) -> Pair:
        """A pair the ledger has never named: what an interrupted change left, or a new one."""
        left = (pair for key, pair in self._pairs.items() if key not in named)
        pair = next(left, None) or Pair.generate()
        if self._path is not None:
            _keep_pair(self._path, pair)
        self._pairs[pair.verify_key] = pair
        return pair

    @property
    def path(self) -> Path | None:
        """Where the files are."""
        return self._path

    def pair(self, verify_key: str) -> Pair | None:
        """The pair of a public key, if it is here."""
        return self._pairs.get(verify_key)

    def renew_search(self) -> bytes:
        """Another key to search by, in place of the one there was."""
        secret = self.keys.search = os.urandom(SEED_SIZE)
        if self._path is not None:
            _put(self._path / SEARCH, secret)
        return secret

    def open_by(self, pair: Pair) -> None:
        """What was sealed to a pair that no longer signs still opens."""
        others = (key for key in self.keys.openers if key is not pair.sealing)
        self.keys.openers = (pair.sealing, *others)[:OPENERS_MAX]

    def retire(self, verify_key: str | None) -> bool:
        """Let a former pair sign no more, for good; it still opens. Whether there was one."""
        pair = self._pairs.get(verify_key or "")
        if pair is None:
            return False
        if self._path is not None:
            # In this order: a crash in between leaves both, and the next start does it again.
            _put(self._path / _name(pair, _OPENER), pair.sealing.private_bytes_raw())
            (self._path / _name(pair, _PAIR)).unlink(missing_ok=True)
            for old in sorted(self._path.glob(f"*{_OPENER}"), key=_age)[:-OPENERS_MAX]:
                old.unlink(missing_ok=True)
        self.open_by(pair)
        self.keys.signers = tuple(p for p in self.keys.signers if p is not pair)
        del self._pairs[pair.verify_key]
        return True


def missing(path: Path) -> list[str]:
    """The names of files that a folder in use must have, and has not."""
    names = [*(f"{name}.key" for name in _SECRETS), SEARCH, "slots"]
    pairs = [] if any(path.glob(f"*{_PAIR}")) else [f"*{_PAIR}"]
    return [*pairs, *(name for name in names if not (path / name).exists())]


def _name(pair: Pair, suffix: str) -> str:
    return hashlib.sha256(pair.verify_key.encode()).hexdigest()[:16] + suffix


def _age(file: Path) -> tuple[int, str]:
    return file.stat().st_mtime_ns, file.name


def _keep_pair(folder: Path, pair: Pair) -> None:
    file = folder / _name(pair, _PAIR)
    if not file.exists():
        _put(file, pair.seeds)


def _pair(file: Path) -> Pair:
    seeds = _read(file, 2 * SEED_SIZE)
    return Pair.of(seeds[:SEED_SIZE], seeds[SEED_SIZE:])


def _secret(file: Path, *, make: bool) -> bytes:
    if make and not file.exists():
        _put(file, os.urandom(SEED_SIZE))
    return _read(file, SEED_SIZE)


def _read(file: Path, size: int) -> bytes:
    try:
        raw = file.read_bytes()
    except OSError as fault:
        raise KeyDamaged(file=str(file), because=str(fault)) from None
    if len(raw) != size:
        raise KeyDamaged(file=str(file), bytes=len(raw), expected=size)
    return raw


def _put(file: Path, secret: bytes) -> None:
    """Whole or not at all, whenever the power goes."""
    new = file.parent / "unfinished.new"
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(secret)
        opened.flush()
        os.fsync(opened.fileno())
    new.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
