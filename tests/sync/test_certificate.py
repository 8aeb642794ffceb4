"""一致证明: holds with the two keys alone, and with nothing changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.agreement.kept import check_file, check_paper
from domain.agreement import CERTIFICATE_MAX
from domain.values import DataClass
from sync.card import make_card
from sync.certificate import Certificate, CertificateInvalid, Lane, Model, salt_hash, sign
from sync.envelope import NO_ROOT
from tests.support.federation import CHENGDU, NOW, ORIGIN, SHENZHEN
from tests.sync.letters import KEYS

ROOT = "a" * 64
PUBLIC = {code: keys.verify_key for code, keys in KEYS.items()}


def lane(source: str, destination: str, number: int) -> Lane:
    return Lane(source=source, destination=destination, number=number, root=ROOT)


SAID = Certificate(
    parties=(ORIGIN, CHENGDU),
    at=NOW,
    rules="1:abc",
    open=((DataClass.IDENTITY,), ()),
    lanes=(lane(CHENGDU, ORIGIN, 7), lane(ORIGIN, CHENGDU, 9)),
    models=(Model(name="contact", rows=2, root=NO_ROOT),),
    salt=salt_hash(b"salt"),
)


def paper_of(said: Certificate) -> dict[str, Any]:
    text = said.text()
    signatures = {code: sign(text, code, KEYS[code]).signature for code in KEYS}
    return {"certificate": text, "signatures": signatures}


def test_a_certificate_holds_with_nothing_but_the_two_keys() -> None:
    assert check_paper(paper_of(SAID), PUBLIC) == SAID


@pytest.mark.parametrize(
    "change",
    [
        ('"rows":2', '"rows":3'),
        (salt_hash(b"salt"), salt_hash(b"pepper")),
        ("2026-01-05", "2026-02-05"),
        (CHENGDU, SHENZHEN),
        ('"number":7', '"number":8'),
        ('"rules":"1:', '"rules":"2:'),
        ('["identity"]', "[]"),
        (ROOT, "b" * 64),
        ("{", "{ "),
    ],
    ids=str,
)
def test_a_certificate_that_was_tampered_with_does_not_hold(change: tuple[str, str]) -> None:
    paper = paper_of(SAID)
    changed = paper["certificate"].replace(*change)

    assert changed != paper["certificate"]
    with pytest.raises(CertificateInvalid):
        check_paper({**paper, "certificate": changed}, PUBLIC)


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        {},
        {"certificate": 1, "signatures": {}},
        {"certificate": "{}"},
        {"certificate": "{}", "signatures": []},
        {"certificate": "x" * (CERTIFICATE_MAX + 1), "signatures": {}},
    ],
)
def test_what_is_no_certificate_does_not_hold(said: Any) -> None:
    with pytest.raises(CertificateInvalid):
        check_paper(said, PUBLIC)


def test_both_signatures_and_both_keys_are_needed() -> None:
    said = paper_of(SAID)
    ours = said["signatures"][ORIGIN]

    for under in ({ORIGIN: ours}, {ORIGIN: ours, CHENGDU: ours}, {ORIGIN: ours, CHENGDU: "!"}):
        with pytest.raises(CertificateInvalid, match="not signed"):
            check_paper({**said, "signatures": under}, PUBLIC)
    with pytest.raises(CertificateInvalid, match="no key"):
        check_paper(said, {ORIGIN: PUBLIC[ORIGIN]})


@pytest.mark.parametrize(
    "lanes",
    [
        (lane(CHENGDU, ORIGIN, 7), lane(CHENGDU, ORIGIN, 7)),
        (lane(CHENGDU, SHENZHEN, 7), lane(SHENZHEN, CHENGDU, 7)),
    ],
)
def test_the_cut_lies_between_the_parties(lanes: tuple[Lane, Lane]) -> None:
    with pytest.raises(CertificateInvalid, match="cut"):
        check_paper(paper_of(SAID.model_copy(update={"lanes": lanes})), PUBLIC)


def cards(folder: Path) -> list[Path]:
    for code, keys in KEYS.items():
        (folder / code).write_bytes(make_card(keys, code, code, "http://x.invalid", NOW) + b"\n")
    return [folder / code for code in KEYS]


def test_a_file_is_checked_by_the_two_cards(tmp_path: Path) -> None:
    file = tmp_path / "paper.json"
    file.write_text(json.dumps(paper_of(SAID), indent=2))

    assert check_file(file, cards(tmp_path)) == SAID
    with pytest.raises(CertificateInvalid):
        check_file(file, cards(tmp_path)[:1])


@pytest.mark.parametrize("write", [lambda f: f.write_text("{"), lambda f: f.write_bytes(b"\xff")])
def test_a_file_that_is_none_is_refused(tmp_path: Path, write: Callable[[Path], Any]) -> None:
    file = tmp_path / "paper.json"
    write(file)

    with pytest.raises(CertificateInvalid):
        check_file(file, cards(tmp_path))
    with pytest.raises(CertificateInvalid, match="no card") as refused:
        check_file(cards(tmp_path)[0], [file])
    assert refused.value.facts["file"] == str(file)
