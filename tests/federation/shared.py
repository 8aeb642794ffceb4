"""共享数据: the ledgers as they arrive, which stand beside the project and not in it."""

from __future__ import annotations

import json
import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(os.environ.get("WAYSTATION_SHARED", Path(__file__).parents[3] / "shared")) / "data"
REQUIRED = os.environ.get("WAYSTATION_REQUIRE_SHARED") == "1"

LEDGER, CONTACTS, PARTY_DAYS = "流出党员台账.xlsx", "联系记录.xlsx", "主题党日签到表.xlsx"

TODAY = date(2026, 1, 5)


def expected() -> dict[str, Any]:
    """What a reader must find; a test without it is left out, or fails where it is required."""
    file = FOLDER / "expected.json"
    if not file.exists():
        reason = f"the shared data is not at {FOLDER}"
        if REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found
