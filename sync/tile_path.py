"""瓦片路径: how tiles are named in an address (C2SP tlog-tiles)."""

from __future__ import annotations

import re
from typing import NamedTuple

from domain.tiles import WIDTH, TileName

LEVEL_MAX = 63
"""Of a tile; no ledger comes near it."""

_PATH = re.compile(
    r"(?P<level>entries|0|[1-9][0-9]?)/(?P<number>(?:x[0-9]{3}/){0,5}[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


class TilePath(NamedTuple):
    """A tile, or the entries below one, and how many of its hashes."""

    tile: TileName
    width: int = WIDTH
    entries: bool = False

    def __str__(self) -> str:
        digits = str(self.tile.number)
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        level = "entries" if self.entries else str(self.tile.level)
        path = "/".join([level, *(f"x{part}" for part in parts[:-1]), parts[-1]])
        return path if self.width == WIDTH else f"{path}.p/{self.width}"


def read(path: str) -> TilePath | None:
    """From its one spelling; None for any other."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    entries, width = found["level"] == "entries", int(found["width"] or WIDTH)
    level = 0 if entries else int(found["level"])
    number = int(re.sub("[x/]", "", found["number"]))
    made = TilePath(TileName(level, number), width, entries)
    narrow = found["width"] is None or width < WIDTH
    return made if level <= LEVEL_MAX and narrow and str(made) == path else None
