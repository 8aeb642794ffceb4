"""门卫: what a workbook must not be, decided before a single cell is parsed."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from typing import IO
from xml.parsers import expat
from zlib import error as DeflateError  # noqa: N812 - the only lower-case exception in sight.

from api.excel.errors import (
    DamagedWorkbook,
    EncryptedWorkbook,
    EntitiesInside,
    ExternalLinksInside,
    InflatesTooFar,
    MacrosInside,
    NestedArchive,
    NotAWorkbook,
    OldWorkbook,
    TooManyMembers,
)
from api.excel.limits import KIB, MIB, WorkbookLimits

_ZIP = b"PK\x03\x04"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_ARCHIVES = (_ZIP, _OLE, b"\x1f\x8b", b"Rar!", b"7z\xbc\xaf", b"BZh", b"\xfd7zXZ")
_MACROS = ("vbaproject", "xl/macrosheets/", "xl/dialogsheets/")
_LINKS = ("xl/externallinks/", "xl/connections.xml", "xl/querytables/")
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_RATIO_FLOOR = MIB
_CHUNK = 64 * KIB


def check(file: IO[bytes], limits: WorkbookLimits) -> None:
    """Refuse what is no plain workbook; on return the file stands at its beginning.

    Raises:
        WorkbookRefused: one of its kinds, with the part at fault as evidence.
    """
    _check_magic(file)
    try:
        with zipfile.ZipFile(file) as archive:
            _check_members(archive.infolist(), limits)
            _check_content(archive, limits)
    except (zipfile.BadZipFile, NotImplementedError, DeflateError, EOFError, OSError) as error:
        raise DamagedWorkbook(cause=type(error).__name__) from error
    file.seek(0)


def _check_magic(file: IO[bytes]) -> None:
    file.seek(0)
    head = file.read(len(_OLE))
    if head == _OLE:
        raise EncryptedWorkbook if _holds(file, _ENCRYPTED_PACKAGE) else OldWorkbook
    if not head.startswith(_ZIP):
        raise NotAWorkbook
    file.seek(0)


def _holds(file: IO[bytes], needle: bytes) -> bool:
    tail = b""
    while chunk := file.read(_CHUNK):
        if needle in tail + chunk:
            return True
        tail = chunk[-len(needle) :]
    return False


def _check_members(members: list[zipfile.ZipInfo], limits: WorkbookLimits) -> None:
    if len(members) > limits.members:
        raise TooManyMembers(members=len(members), members_max=limits.members)
    names = [member.filename.lower() for member in members]
    if any(member.flag_bits & 1 for member in members):
        raise EncryptedWorkbook
    if any(member.compress_type not in _COMPRESSIONS for member in members):
        raise DamagedWorkbook(cause="compression")
    _check_names(names)
    inflated = sum(member.file_size for member in members)
    _check_size(inflated, sum(member.compress_size for member in members), limits)


def _check_names(names: list[str]) -> None:
    for name in names:
        if any(mark in name for mark in _MACROS):
            raise MacrosInside(part=name[:100])
        if name.startswith(_LINKS):
            raise ExternalLinksInside(part=name[:100])
    if "xl/workbook.bin" in names:
        raise OldWorkbook
    if "[content_types].xml" not in names or not any(name.startswith("xl/") for name in names):
        raise NotAWorkbook
    if len(set(names)) < len(names):
        # Two parts of one name: one program would show the first, another read the second.
        raise DamagedWorkbook(cause="duplicate part")


def _check_size(inflated: int, stored: int, limits: WorkbookLimits) -> None:
    if inflated > limits.inflated_bytes:
        raise InflatesTooFar(inflated=inflated, inflated_max=limits.inflated_bytes)
    if inflated > _RATIO_FLOOR and inflated > limits.ratio * max(stored, 1):
        raise InflatesTooFar(ratio=inflated // max(stored, 1), ratio_max=limits.ratio)


def _check_content(archive: zipfile.ZipFile, limits: WorkbookLimits) -> None:
    """Inflate every part once, because what the archive declares may be a lie."""
    inflated = stored = 0
    for member in archive.infolist():
        stored += member.compress_size
        before, parser = inflated, _xml_guard(member.filename)
        for chunk in _chunks(archive, member):
            if inflated == before and chunk.startswith(_ARCHIVES):
                raise NestedArchive(part=member.filename[:100])
            inflated += len(chunk)
            _check_size(inflated, stored, limits)
            _feed(parser, chunk, member.filename)
        if inflated > before:
            _feed(parser, b"", member.filename)


def _chunks(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(member) as part:
        while chunk := part.read(_CHUNK):
            yield chunk


def _xml_guard(name: str) -> expat.XMLParserType | None:
    """A parser that builds nothing and refuses a document type, in whatever encoding."""
    if not name.lower().endswith((".xml", ".rels")):
        return None
    parser = expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise EntitiesInside(part=name[:100])

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    return parser


def _feed(parser: expat.XMLParserType | None, chunk: bytes, name: str) -> None:
    if parser is None:
        return
    try:
        parser.Parse(chunk, not chunk)
    except expat.ExpatError as error:
        raise DamagedWorkbook(part=name[:100], cause="XML") from error
