"""导入: an official workbook as the request's body; a dry run first, then for good."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request

from api.access.reading import shows_nobody
from api.app_state import running
from api.excel.reading import read_contacts, read_outflows, read_party_days
from api.imports import Importer, quiet
from api.who import who
from domain.aggregate import CIVIL_ZONE
from domain.values import Text

router = APIRouter(tags=["导入 imports"])

Kind = Literal["outflows", "contacts", "party-days"]

WORKBOOK = "workbook.xlsx"
NAME_BYTES = 200
"""Of a file's name; the file systems have room for 255."""


def file_name(said: str) -> str:
    """The last step of what a caller calls his file, as a name that any folder takes."""
    last = said.replace("\\", "/").rsplit("/", 1)[-1].strip(" .")
    return last.encode()[:NAME_BYTES].decode(errors="ignore") or WORKBOOK


@router.post("/imports/{kind}")
@shows_nobody
async def import_workbook(
    request: Request,
    kind: Kind,
    name: Annotated[Text, Query(max_length=200)] = WORKBOOK,
    dry_run: bool = True,  # noqa: FBT001, FBT002 - a query parameter; the safe way is the default.
) -> dict[str, Any]:
    """流出党员台账 · 联系记录 · 主题党日签到表: what would be, or was, recorded and refused."""
    node = running(request).node
    today = node.clock().astimezone(CIVIL_ZONE).date()
    importer = Importer(node, who(request).person, dry_run=dry_run, progress=quiet)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file_name(name)
        path.write_bytes(await request.body())
        match kind:
            case "outflows":
                rows = await asyncio.to_thread(read_outflows, path, today=today)
                report = await importer.outflows(rows)
            case "contacts":
                contacts = await asyncio.to_thread(read_contacts, path, today=today)
                report = await importer.contacts(contacts)
            case _:
                marks = await asyncio.to_thread(read_party_days, path, today=today)
                report = await importer.party_days(marks)
    return asdict(report)
