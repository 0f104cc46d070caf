"""cloud.yaml: every mistake with line and remedy; the example is the documentation and must hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from community_os.settings import CloudSettings, SignInRule, is_loopback, parse_cloud
from device_model.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def test_the_example_is_the_defaults() -> None:
    file = ROOT / "examples" / "cloud" / "cloud.yaml"
    made = parse_cloud(file.read_text(encoding="utf-8"), "cloud.yaml")
    plain = CloudSettings()
    assert (made.state, made.address, made.port, made.sign_in, made.sites, made.partitions) == (
        plain.state, plain.address, plain.port, plain.sign_in, plain.sites, plain.partitions)
    assert made.broker.names == ("cloud.example.org",) and made.broker.mqtt_port == plain.broker.mqtt_port


def test_paths_are_relative_to_the_file() -> None:
    made = parse_cloud("state: s\nsites: [a.yaml, /b.yaml]\ndatabase: sqlite:///x.db\n", "etc/tocsin/cloud.yaml")
    assert made.state == "etc/tocsin/s" and made.sites == ("etc/tocsin/a.yaml", "/b.yaml")
    assert made.database_url == "sqlite:///etc/tocsin/x.db"
    assert CloudSettings(state="s").database_url == "sqlite:///s/incidents.sqlite"
    assert (made.authority_folder, made.broker_folder) == ("etc/tocsin/s/authority", "etc/tocsin/s/broker")


@pytest.mark.parametrize(("text", "line", "says"), [
    ("port: 99999\n", 1, "no port"),
    ("state: s\nprot: 1\n", 2, "did you mean 'port'"),
    ("state: s\nsign_in: never\n", 2, "required"),
    ("sign_in: open_on_loopback\naddress: 0.0.0.0\n", 2, "without sign-in"),
    ("sign_in: open_on_loopback\naddress: example.org\n", 2, "without sign-in"),
    ("partitions: 0\n", 1, "partitions"),
    ("state: ''\n", 1, "state is empty"),
    ("sites:\n  - a.yaml\n  - a.yaml\n", 3, "stands twice"),
    ("broker:\n  mqtt_port: -1\n", 2, "no port"),
    ("broker:\n  mqtt_prot: 1\n", 2, "did you mean"),
    ("- 1\n", 1, "must be a mapping"),
    ("", 0, "empty"),
])
def test_mistakes_have_a_line_and_a_remedy(text: str, line: int, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_cloud(text, "cloud.yaml")
    (finding,) = caught.value.findings
    assert finding.line == line and says in f"{finding.what} {finding.remedy}" and finding.remedy


def test_open_is_accepted_on_loopback() -> None:
    made = parse_cloud("sign_in: open_on_loopback\naddress: '::1'\n", "c.yaml")
    assert made.sign_in is SignInRule.OPEN_ON_LOOPBACK
    assert [is_loopback(a) for a in ("127.9.9.9", "localhost", "10.0.0.1", "", "0.0.0.0")] == [
        True, True, False, False, False]


@given(st.text(max_size=60))
def test_any_text_is_settings_or_findings(text: str) -> None:
    try:
        assert isinstance(parse_cloud(text, "c.yaml"), CloudSettings)
    except ConfigError as error:
        assert error.findings
