"""瓦片路径: each tile has one address, the one of C2SP tlog-tiles."""

from __future__ import annotations

import random

import pytest

from domain.tiles import TileName
from sync import tile_path
from sync.tile_path import LEVEL_MAX, TilePath


@pytest.mark.parametrize(
    ("path", "tile"),
    [
        ("0/000", TilePath(TileName(0, 0))),
        ("1/x001/x234/067", TilePath(TileName(1, 1_234_067))),
        ("0/x273/000.p/112", TilePath(TileName(0, 273_000), 112)),
        ("entries/x001/000.p/1", TilePath(TileName(0, 1_000), 1, entries=True)),
        ("63/000.p/255", TilePath(TileName(LEVEL_MAX, 0), 255)),
    ],
)
def test_an_address_is_read_and_written(path: str, tile: TilePath) -> None:
    assert tile_path.read(path) == tile
    assert str(tile) == path


def test_any_tile_comes_back_from_its_address() -> None:
    for _ in range(500):
        number = random.randrange(10 ** random.randrange(1, 18))
        width = random.randrange(1, 257)
        tile = TilePath(TileName(random.randrange(64), number), width)
        assert tile_path.read(str(tile)) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "0",
        "0/",
        "0/0",
        "0/0000",
        "0/001/000",
        "0/x000/001",
        "0/000.p/256",
        "0/000.p/0",
        "0/000.p/01",
        "01/000",
        "64/000",
        "0/000.p/1\n",
        "0/٠٠٠",
        "entries/x1/000",
        "0/000/",
    ],
)
def test_another_spelling_names_no_tile(path: str) -> None:
    assert tile_path.read(path) is None
