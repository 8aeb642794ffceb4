"""The reference page knows every column, rule, refusal and limit."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from api.excel import contacts, errors, outflows, party_days
from api.excel.limits import WorkbookLimits
from api.excel.rules import RULES
from tests.api.excel import support

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "workbooks.md").read_text()


@pytest.mark.parametrize("form", [outflows, contacts, party_days])
def test_every_column_and_alias_is_in_the_reference(form: object) -> None:
    for column in form.COLUMNS:  # type: ignore[attr-defined]
        needed = "yes" if column.required else ""
        aliases = "、".join(column.aliases)
        assert f"| {column.heading} | `{column.field}` | {needed} | {aliases} |" in PAGE


def test_every_rule_is_in_the_reference_with_its_message() -> None:
    for rule, message in RULES.items():
        assert f"| `{rule}` | {message} |" in PAGE


def test_every_refusal_is_in_the_reference_with_its_remedy() -> None:
    for kind in vars(errors).values():
        refusal = isinstance(kind, type) and issubclass(kind, errors.WorkbookRefused)
        if refusal and kind is not errors.WorkbookRefused:
            assert f"| `{kind.code()}` | {kind.sentence()} | {kind.mend} |" in PAGE


def test_every_limit_is_in_the_reference() -> None:
    for limit in fields(WorkbookLimits):
        assert f"| `{limit.name}` |" in PAGE


def test_absent_shared_data_is_a_skip_or_where_required_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(support, "SHARED", tmp_path)
    monkeypatch.delenv("WAYSTATION_REQUIRE_SHARED", raising=False)

    with pytest.raises(pytest.skip.Exception, match="not at"):
        support.shared("expected.json")
    monkeypatch.setenv("WAYSTATION_REQUIRE_SHARED", "1")
    with pytest.raises(pytest.fail.Exception, match="asks for them"):
        support.shared("expected.json")
