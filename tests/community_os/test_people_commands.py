"""`tocsin people` and `tocsin audit`: what they do to the files that the web server shares."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import tocsin
from community_os.passwords import Passwords


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    light = Passwords(time_cost=1, memory_kib=8)
    monkeypatch.setattr("community_os.accounts.Passwords", lambda: light)
    file = tmp_path / "cloud.yaml"
    file.write_text("state: state\n")
    return file


def run(config: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(tocsin.app, [*arguments, "--config", str(config)])
    return result.exit_code, f"{result.output} {result.exception}" if result.exit_code else result.stdout


def test_an_account_from_the_shell_to_the_audit(config: Path, tmp_path: Path) -> None:
    code, text = run(config, "people", "add", "wang", "--role", "property", "--scope", "hangzhou/yuhang", "--json")
    secret = json.loads(text)["secret"]
    assert code == 0 and len(secret) == 23
    assert run(config, "people", "change", "wang", "--role", "desk")[0] == 0
    assert run(config, "people", "disable", "wang")[0] == 0
    assert "disabled" in run(config, "people", "list")[1]
    assert run(config, "people", "disable", "wang", "--enable")[0] == 0
    assert json.loads(run(config, "people", "reset", "wang", "--json")[1])["secret"] != secret
    code, text = run(config, "audit", "verify", "--json")
    report = json.loads(text)
    assert (code, report["ok"], report["records"]) == (0, True, 5)
    code, text = run(config, "audit", "show", "--what", "rights")
    assert "property of hangzhou/yuhang, now desk of all" in text and "shell:" in text
    exported = tmp_path / "copy"
    assert run(config, "audit", "export", str(exported))[0] == 0
    assert run(config, "audit", "export", str(tmp_path / "a.csv"), "--as", "csv")[0] == 0
    assert "rights changed" in (tmp_path / "a.csv").read_text()
    anchor = report["anchor"]
    assert run(config, "audit", "verify", "--folder", str(exported), "--anchor", anchor)[0] == 0
    file = exported / "000000000001.jsonl"
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:3]))
    code, text = run(config, "audit", "verify", "--folder", str(exported), "--anchor", anchor)
    assert code == 1 and "tail was cut off" in text
    assert run(config, "audit", "verify", "--folder", str(exported))[0] == 0  # a cut tail shows beside an anchor only


@pytest.mark.parametrize(("arguments", "said"), [
    (("people", "add", "wang", "--role", "king"), "no role 'king'"),
    (("people", "add", "wang", "--role", "desk", "--scope", "../x"), "a scope is"),
    (("people", "disable", "nobody"), "no such account"),
    (("people", "reset", "nobody"), "no such account"),
    (("audit", "verify", "--anchor", "x"), "no anchor"),
])
def test_what_does_not_fit_is_said(config: Path, arguments: tuple[str, ...], said: str) -> None:
    code, text = run(config, *arguments)
    assert code == 1 and said in text


def test_a_changed_record_of_an_incident_breaks_the_check_as_well(config: Path, tmp_path: Path) -> None:
    import sqlalchemy as sa

    from community_os import schema
    from community_os.settings_source import read_settings
    from community_os.store_opening import open_store

    (tmp_path / "state").mkdir(exist_ok=True)
    store = open_store(read_settings(config))
    with store.transaction() as connection:
        connection.execute(sa.insert(schema.audit), [{
            "id": "a", "path": "c/d/s/t", "number": 1, "at_us": 1, "who": "li", "what": "note", "incident": "i",
            "detail": "", "hash": "0" * 64, "city": "c", "district": "d", "street": "s", "site": "t"}])
    store.close()
    code, text = run(config, "audit", "verify")
    assert code == 1 and "c/d/s/t: entry 1 is missing or was changed" in text
