"""A hostile workbook is refused by name, costs the node nothing, and never reaches a reader."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import openpyxl
import pytest

from api.excel import errors
from api.excel.errors import WorkbookRefused
from api.excel.limits import MIB, WorkbookLimits
from api.excel.reading import read_contacts, read_outflows
from api.excel.sample import FOLDER
from domain.errors import Invalid
from tests.api.excel.support import SOUND, TODAY, book, ledger, tampered

SHEET = "xl/worksheets/sheet1.xml"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
BILLION_LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
    b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">&b;</worksheet>'
)
LIMIT_REFUSALS = {
    "file_bytes": ("FileTooLarge", 1_000),
    "inflated_bytes": ("InflatesTooFar", 2_000),
    "ratio": ("InflatesTooFar", 1),
    "members": ("TooManyMembers", 3),
    "rows": ("TooManyRows", 10),
    "columns": ("TooManyColumns", 5),
    "sheets": ("TooManySheets", 1),
    "cell_chars": ("CellTooLong", 10),
    "seconds": ("ReadingTooSlow", 1),
    "memory_bytes": ("ReadingTooLarge", 160 * MIB),
}


def refusal(path: Path, **limits: int) -> WorkbookRefused:
    with pytest.raises(WorkbookRefused) as refused:
        read_outflows(path, today=TODAY, limits=WorkbookLimits(**limits))
    return refused.value


def code(path: Path, **limits: int) -> str:
    return type(refusal(path, **limits)).__name__


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    return ledger(tmp_path / "sound.xlsx", {})


def spaces(path: Path, size: int) -> Path:
    """A workbook whose sheet is nothing but blanks, a thousandfold compressed."""
    sound = ledger(path.with_name("sound.xlsx"), {})
    with zipfile.ZipFile(tampered(path, {SHEET: None}, sound), "a", zipfile.ZIP_DEFLATED) as bomb:
        bomb_head, chunk = b'<worksheet xmlns="x"><sheetData>', b" " * MIB
        with bomb.open(SHEET, "w") as part:
            part.write(bomb_head)
            for _ in range(size // MIB):
                part.write(chunk)
            part.write(b"</sheetData></worksheet>")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "NotAWorkbook"),
        (b"\xef\xbb\xbf\xe5\xa7\x93\xe5\x90\x8d,1\n", "NotAWorkbook"),
        (b"<html><table></table></html>", "NotAWorkbook"),
        (OLE + b"Workbook" * 100, "OldWorkbook"),
        (OLE + b"\0" * 70_000 + "EncryptedPackage".encode("utf-16-le"), "EncryptedWorkbook"),
        (b"PK\x03\x04 and then nothing", "DamagedWorkbook"),
    ],
)
def test_what_is_no_workbook_is_told_so(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "台账.xlsx"
    path.write_bytes(content)

    assert code(path) == expected


@pytest.mark.slow
def test_an_old_workbook_is_asked_for_as_xlsx(tmp_path: Path) -> None:
    path = tmp_path / "台账.xls"
    path.write_bytes(OLE * 100)

    assert "另存为 .xlsx" in str(refusal(path))
    assert "save it as .xlsx" in str(refusal(path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "content", "expected"),
    [
        ("xl/vbaProject.bin", b"macro", "MacrosInside"),
        ("xl/macrosheets/sheet1.xml", b"<x/>", "MacrosInside"),
        ("xl/externalLinks/externalLink1.xml", b"<x/>", "ExternalLinksInside"),
        ("xl/connections.xml", b"<x/>", "ExternalLinksInside"),
        ("xl/embeddings/innocent.bin", b"PK\x03\x04rest", "NestedArchive"),
        ("xl/embeddings/oleObject1.bin", OLE, "NestedArchive"),
        ("xl/media/image1.png", b"\x1f\x8b\x08", "NestedArchive"),
        (SHEET, BILLION_LAUGHS, "EntitiesInside"),
        (SHEET, BILLION_LAUGHS.decode().encode("utf-16"), "EntitiesInside"),
        ("docProps/app.xml", b"<!DOCTYPE x SYSTEM 'file:///etc/passwd'><x/>", "EntitiesInside"),
        ("docProps/app.xml", b"<x>", "DamagedWorkbook"),
        (SHEET, b"<worksheet/>", "EmptyWorkbook"),
        ("xl/workbook.bin", b"", "OldWorkbook"),
        ("[Content_Types].xml", None, "NotAWorkbook"),
        ("xl/workbook.xml", None, "DamagedWorkbook"),
    ],
)
def test_a_part_that_a_ledger_never_has_refuses_it(
    tmp_path: Path, sound: Path, part: str, content: bytes | None, expected: str
) -> None:
    assert code(tampered(tmp_path / "台账.xlsx", {part: content}, sound)) == expected


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_parts_of_one_name_refuse_it(sound: Path) -> None:
    with zipfile.ZipFile(sound, "a") as archive:
        archive.writestr(SHEET, archive.read(SHEET))

    assert code(sound) == "DamagedWorkbook"


def test_an_archive_that_lies_about_its_sizes_is_refused(tmp_path: Path) -> None:
    path = spaces(tmp_path / "台账.xlsx", 4 * MIB)
    true_size = zipfile.ZipFile(path).getinfo(SHEET).file_size
    content = path.read_bytes()
    at = content.rindex(true_size.to_bytes(4, "little"))
    path.write_bytes(content[:at] + (1_000).to_bytes(4, "little") + content[at + 4 :])

    assert code(path) in {"DamagedWorkbook", "InflatesTooFar"}


def test_every_limit_has_its_refusal_tested_here() -> None:
    assert set(LIMIT_REFUSALS) == {field.name for field in fields(WorkbookLimits)}


def provoke_file_bytes(path: Path) -> Path:
    return ledger(path, {})


def provoke_ratio(path: Path) -> Path:
    return spaces(path, 2 * MIB)


def provoke_rows(path: Path) -> Path:
    return book(path, {"肃州区": [[*SOUND], *([SOUND["姓名"]] for _ in range(12))]})


def provoke_sheets(path: Path) -> Path:
    return book(path, {"肃州区": [[*SOUND]], "玉门市": [[*SOUND]]})


def provoke_seconds(path: Path) -> Path:
    """A last row at Excel's end in every sheet: little to store, millions of rows to walk."""
    empty = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
    empty += b'<sheetData><row r="1048576"><c r="A1048576"/></row></sheetData></worksheet>'
    sheets = book(path.with_name("many.xlsx"), {f"第{n}页": [] for n in range(40)})
    return tampered(path, {f"xl/worksheets/sheet{n}.xml": empty for n in range(1, 41)}, sheets)


def provoke_memory_bytes(path: Path) -> Path:
    return spaces(path, 190 * MIB)


@pytest.mark.slow
@pytest.mark.parametrize("limit", LIMIT_REFUSALS)
def test_a_limit_that_is_met_refuses_the_file(tmp_path: Path, limit: str) -> None:
    provoke: Callable[[Path], Path] = globals().get(f"provoke_{limit}", provoke_file_bytes)
    expected, most = LIMIT_REFUSALS[limit]
    lifted = {} if limit == "ratio" else {"ratio": 10_000}

    assert code(provoke(tmp_path / "台账.xlsx"), **lifted, **{limit: most}) == expected


def memory(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) * 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("ratio", [100, 10_000])
def test_a_bomb_costs_the_node_less_than_fifty_mebibytes(tmp_path: Path, ratio: int) -> None:
    bomb = spaces(tmp_path / "台账.xlsx", 190 * MIB)
    assert bomb.stat().st_size * 100 < 190 * MIB
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")

    refused = refusal(bomb, ratio=ratio, memory_bytes=160 * MIB)

    assert type(refused).__name__ == ("InflatesTooFar" if ratio == 100 else "ReadingTooLarge")
    assert memory("VmHWM") - before < 50 * MIB


def test_a_shared_string_repeated_without_end_is_bounded(tmp_path: Path) -> None:
    path = book(tmp_path / "台账.xlsx", {"肃州区": [["祁" * 3_000] * 190 for _ in range(5)]})

    assert code(path, inflated_bytes=2 * MIB) == "InflatesTooFar"


@pytest.mark.slow
def test_a_wrong_or_missing_dimension_hides_no_row(tmp_path: Path, sound: Path) -> None:
    with zipfile.ZipFile(sound) as archive:
        sheet = archive.read(SHEET)
    declared = sheet[sheet.index(b"<dimension") : sheet.index(b"<sheetViews")]
    for wrong in (b"", b'<dimension ref="A1"/>', b'<dimension ref="A1:XFD1048576"/>'):
        path = tampered(tmp_path / "台账.xlsx", {SHEET: sheet.replace(declared, wrong)}, sound)

        assert len(read_outflows(path, today=TODAY).accepted) == 1


def test_the_parser_that_openpyxl_uses_refuses_entities() -> None:
    assert openpyxl.DEFUSEDXML


@pytest.mark.slow
def test_the_child_gets_nothing_of_the_nodes_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    # An openpyxl told not to use defusedxml would end the child before it reads.
    monkeypatch.setenv("OPENPYXL_DEFUSEDXML", "False")

    assert read_contacts(FOLDER / "联系记录.xlsx", today=TODAY.replace(year=2026)).accepted


def test_every_refusal_has_a_remedy_and_two_languages() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    for kind in kinds:
        assert issubclass(kind, Invalid)
        chinese, _, english = kind.sentence().partition("。")
        assert chinese
        assert english.endswith(".")
        assert english.isascii()
        assert not kind.mend.isascii()
