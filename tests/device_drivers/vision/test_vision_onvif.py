"""ONVIF discovery: the probe, answers of cameras, and of others."""

from __future__ import annotations

import socket
import threading
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

pytest.importorskip("numpy")

from command_line.vision import group
from device_drivers.vision.onvif_discover import discover
from device_drivers.vision.onvif_probe import ProbeMatch, parse_answer, probe

# After the example of the ONVIF Core Specification, section on discovery, with a second match and Chinese names.
ANSWER = """<?xml version="1.0" encoding="UTF-8"?>
<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://www.w3.org/2003/05/soap-envelope"
 xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing"
 xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery">
<SOAP-ENV:Header><wsa:MessageID>uuid:1</wsa:MessageID></SOAP-ENV:Header><SOAP-ENV:Body><d:ProbeMatches>
<d:ProbeMatch><wsa:EndpointReference><wsa:Address>urn:uuid:5f5a69c2-e0ae-504f-829b-00ff</wsa:Address></wsa:EndpointReference>
<d:Types>dn:NetworkVideoTransmitter</d:Types>
<d:Scopes>onvif://www.onvif.org/type/video_encoder onvif://www.onvif.org/name/%E5%A4%A7%E9%97%A8
 onvif://www.onvif.org/hardware/IPC-42 onvif://www.onvif.org/location/country/china</d:Scopes>
<d:XAddrs>http://192.0.2.30/onvif/device_service http://[fe80::1]/onvif/device_service</d:XAddrs>
<d:MetadataVersion>1</d:MetadataVersion></d:ProbeMatch>
<d:ProbeMatch><d:XAddrs>https://192.0.2.31:8443/onvif</d:XAddrs></d:ProbeMatch>
</d:ProbeMatches></SOAP-ENV:Body></SOAP-ENV:Envelope>"""
FIRST = ProbeMatch(
    "192.0.2.30", ("http://192.0.2.30/onvif/device_service", "http://[fe80::1]/onvif/device_service"), "大门",
    "IPC-42", "country/china", "urn:uuid:5f5a69c2-e0ae-504f-829b-00ff")


def test_an_answer_is_read() -> None:
    assert parse_answer(ANSWER.encode()) == (FIRST, ProbeMatch("192.0.2.31", ("https://192.0.2.31:8443/onvif",)))


BOMB = ANSWER.replace("?>\n", '?>\n<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>\n', 1)


@pytest.mark.parametrize("answer", [
    "", "no xml", ANSWER[:300], BOMB, ANSWER.replace("192.0.2.3", "x" * 5000), "<a>" * 40 + "</a>" * 40,
    "<d>" + "<x/>" * 1000 + "</d>", ANSWER.replace("http://192", "ftp://192").replace("https://192", "smb://192")
    .replace("http://[", "gopher://["), ANSWER + "x" * 70_000,
])
def test_what_is_no_answer_is_none(answer: str) -> None:
    assert parse_answer(answer.encode()) == ()


def test_an_address_with_a_password_is_not_taken() -> None:
    assert parse_answer(ANSWER.replace("http://192.0.2.30", "http://u:p@192.0.2.30").encode())[0].urls == (
        "http://[fe80::1]/onvif/device_service",)


@given(st.binary(max_size=400))
def test_any_bytes_are_survived(octets: bytes) -> None:
    assert isinstance(parse_answer(octets), tuple)


@given(st.integers(0, len(ANSWER) - 1), st.text(max_size=12))
def test_any_change_of_an_answer_is_survived(at: int, put: str) -> None:
    for match in parse_answer((ANSWER[:at] + put + ANSWER[at + len(put):]).encode("utf-8", "replace")):
        assert len(match.name) <= 80 and match.name.isprintable() and all("//" in url for url in match.urls)


def test_a_probe_names_what_it_looks_for() -> None:
    assert b"NetworkVideoTransmitter" in probe(str(uuid.uuid4()))
    with pytest.raises(ValueError, match="UUID"):
        probe("</w:MessageID>")


@pytest.mark.real
def test_cameras_on_the_wire_are_found_once() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as camera:
        camera.bind(("127.0.0.1", 0))
        camera.settimeout(5)

        def answer() -> None:
            for _ in range(2):
                question, who = camera.recvfrom(4096)
                assert b"Probe" in question
                camera.sendto(b"garbage", who)
                camera.sendto(ANSWER.encode(), who)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        found = discover(0.5, interface="127.0.0.1", to=camera.getsockname())
        thread.join(5)
    assert [match.address for match in found] == ["192.0.2.30", "192.0.2.31"]


def test_the_command_prints_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device_drivers.vision.onvif_discover.discover", lambda *_, **__: (FIRST,))
    done = CliRunner().invoke(group, ["discover", "--for", "0.1"])
    assert done.exit_code == 0 and "192.0.2.30" in done.stdout and "大门" in done.stdout
    assert '"IPC-42"' in CliRunner().invoke(group, ["discover", "--json"]).stdout
