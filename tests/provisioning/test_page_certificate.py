"""The gateway's own certificate for its page: a phone that was told the fingerprint sees it, over real TLS."""

from __future__ import annotations

import hashlib
import socket
import ssl
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from device_model.errors import LocalFault
from device_model.library import read_site
from edge_agent.page import settings_of
from edge_agent.provision_wizard import Answers, _page_for_phones
from provisioning.page_certificate import CERTIFICATE, KEY, make_page_certificate, own_names
from provisioning.site_draft import as_text, first_site

NOW = datetime(2026, 11, 23, tzinfo=UTC)


class Words:
    """A talk that answers always the same, and keeps what was said."""

    def __init__(self, answer: str) -> None:
        self.answer, self.said, self.asked = answer, [], 0

    def ask(self, question: str, default: str = "") -> str:
        self.asked += 1
        assert "https://" in question
        return self.answer

    def say(self, step: str, text: str, **more: object) -> None:
        self.said.append((step, text, more))


@pytest.mark.real
def test_a_browser_that_trusts_it_reaches_the_page_by_address_and_name(tmp_path: Path) -> None:
    mark = make_page_certificate(tmp_path, own_names("127.0.0.1"), NOW)
    assert stat.S_IMODE((tmp_path / KEY).stat().st_mode) == 0o600
    mine = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    mine.load_cert_chain(tmp_path / CERTIFICATE, tmp_path / KEY)
    for name in ("127.0.0.1", "localhost"):
        with socket.create_server(("127.0.0.1", 0)) as server:
            shown: list[bytes] = []

            def phone(port: int = server.getsockname()[1], name: str = name, shown: list[bytes] = shown) -> None:
                trusting = ssl.create_default_context(cafile=str(tmp_path / CERTIFICATE))
                with socket.create_connection(("127.0.0.1", port), 60) as wire, trusting.wrap_socket(
                        wire, server_hostname=name) as line:
                    shown.append(line.getpeercert(binary_form=True) or b"")

            thread = threading.Thread(target=phone)
            thread.start()
            wire, _ = server.accept()
            with mine.wrap_socket(wire, server_side=True):
                thread.join(60)
        assert hashlib.sha256(shown[0]).hexdigest().upper() == mark.replace(":", "")


def test_a_box_whose_clock_was_never_set_makes_one_that_holds(tmp_path: Path) -> None:
    from cryptography import x509

    make_page_certificate(tmp_path, ("192.168.1.9",), datetime(1970, 1, 1, 0, 1, tzinfo=UTC))
    made = x509.load_pem_x509_certificate((tmp_path / CERTIFICATE).read_bytes())
    assert made.not_valid_before_utc < NOW < made.not_valid_after_utc


def test_a_folder_that_takes_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalFault, match="cannot be written"):
        make_page_certificate(tmp_path / "file" / "x", ("a",), NOW)


@pytest.mark.parametrize(("answers", "said", "open_to_phones"), [
    (Answers(page_host="192.168.1.9"), "", True), (Answers(), "y", True), (Answers(), "", False),
    (Answers(), "n", False),
])
def test_the_wizard_opens_the_page_only_when_somebody_says_so(
    tmp_path: Path, answers: Answers, said: str, open_to_phones: bool, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edge_agent.provision_wizard.own_address", lambda: "192.168.1.7")
    talk = Words(said)
    page = _page_for_phones(tmp_path, answers, talk)
    assert bool(page) == open_to_phones == (tmp_path / KEY).exists() and talk.asked == (not answers.page_host)
    file = tmp_path / "site.yaml"
    site = first_site("a/b/c/d", "gw-1", name_zh="新居", name_en="New", page=page)
    file.write_text(as_text(site), encoding="utf-8")
    settings = settings_of(file)
    assert (settings.host, bool(settings.certificate_file)) == (("0.0.0.0", True) if page else ("127.0.0.1", False))
    if page:
        assert read_site(file).gateway.page.key_file == str(tmp_path / KEY)
        assert talk.said[0][2]["address"].startswith("https://192.168.1.") and ":" in talk.said[0][2]["fingerprint"]
