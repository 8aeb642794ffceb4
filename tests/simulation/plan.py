"""计划: what goes wrong in one history, and how often; each draws its own mixture."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from random import Random

from tests.simulation.asking import CODES

STEPS = 60

HIGHEST = {
    "drop": 0.3,
    "repeat": 0.5,
    "overtake": 0.5,
    "crash": 0.15,
    "unheard": 0.06,
    "bend": 0.05,
    "full": 0.04,
    "cut": 0.06,
    "attack": 0.1,
    "poison": 0.02,
    "broker": 0.06,
    "restore": 0.06,
    "transfer": 0.9,
    "move": 0.7,
    "rekey": 0.06,
    "erase": 0.25,
}
"""Of each fault, at most how often."""


@dataclass(frozen=True)
class Plan:
    """How many take part, over what lanes, and what happens to them."""

    codes: tuple[str, ...]
    over_broker: bool
    slow: str | None
    files: tuple[str, ...]
    """Two whom no network joins, or nobody: what is between them is carried as files."""
    strangers: tuple[str, ...]
    """Two who have never exchanged cards, or nobody: what concerns both goes by way of others."""
    apart: int
    """By how many minutes clocks are wrong at most."""
    rates: dict[str, float]

    @classmethod
    def drawn(cls, rng: Random) -> Plan:
        """Now and then a history without one of the faults: they hide each other."""
        nodes = rng.choices(range(2, 8), (40, 46, 7, 4, 2, 1))[0]
        rates = {name: rng.choice((0.0, rng.uniform(0, top), top)) for name, top in HIGHEST.items()}
        # Few histories: keys and files stay out of them.
        if rng.random() < 0.85:
            rates["restore"] = 0.0
        else:
            # Old keys come back with a backup; and a lane of files then waits for a newer one.
            rates["rekey"] = 0.0
        codes = CODES[:nodes]
        slow = rng.choice(codes) if rng.random() < 0.15 else None
        files = tuple(rng.sample(codes, 2)) if rng.random() < 0.2 else ()
        files = () if rates["restore"] else files
        apart = rng.choice((5, 1440))
        strangers = tuple(rng.sample(codes, 2)) if nodes > 2 and rng.random() < 0.25 else ()
        strangers = () if set(strangers) == set(files) else strangers
        return cls(codes, rng.random() < 0.25, slow, files, strangers, apart, rates)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Who is acquainted with whom, both ways."""
        far = {self.strangers, self.strangers[::-1]}
        return [pair for pair in permutations(self.codes, 2) if pair not in far]

    def __str__(self) -> str:
        way = "over a broker" if self.over_broker else "over HTTP"
        rates = ", ".join(f"{name} {rate:.2f}" for name, rate in self.rates.items() if rate)
        files = f", files between {' and '.join(self.files)}" if self.files else ""
        far = f", {' and '.join(self.strangers)} are strangers" if self.strangers else ""
        return f"{len(self.codes)} nodes {way}{files}{far}, slow: {self.slow}, {rates}"
