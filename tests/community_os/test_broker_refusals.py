"""Lines of the broker's log become records of the audit; the log may roll over, grow without end, hold anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from community_os.broker_refusals import LOOK_BYTES_MAX, RefusalTail, refusal_of
from dashboards.kit.people_texts import AUDIT_WORDS

HEAD = "[15287] 2026/11/23 14:20:21.084195 [ERR] "
FORGED = HEAD + '127.0.0.1:56736 - mid:8 - "x" - Publish Violation - Subject "tocsin.v1.b.up.alarm"'


class Trail:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []

    def note(self, who: str, what: str, *, subject: str = "", path: str = "", why: str = "", where: str = "",
             outcome: str = "") -> None:
        self.lines.append((why, subject, where))


@pytest.mark.parametrize(("said", "why", "subject"), [
    ('127.0.0.1:1 - mid:8 - "x" - Publish Violation - Subject "a.b"', "spoke under a foreign topic", "a.b"),
    ('127.0.0.1:1 - mid:8 - "x" - Subscription Violation - Subject ">", SID >', "listened to a foreign topic", ">"),
    ("127.0.0.1:1 - mid:2 - TLS handshake error: tls: failed to verify certificate: x509: certificate signed by "
     "unknown authority", "a foreign certificate", ""),
    ("[::1]:1 - mid:2 - TLS handshake error: tls: failed to verify certificate: x509: certificate has expired or is "
     "not yet valid: current time (CN=hz.yh.cq.h.gw-9,OU=enrolment-1)", "an expired certificate", "hz.yh.cq.h.gw-9"),
    ("127.0.0.1:1 - mid:2 - TLS handshake error: tls: client didn't provide a certificate", "no certificate", ""),
    ('127.0.0.1:1 - mid:9 - "x" - authentication error', "no such gateway or service", ""),
    ('127.0.0.1:1 - cid:3 - authentication error - User "services"', "wrong password of a service", "services"),
])
def test_each_refusal_has_its_word(said: str, why: str, subject: str) -> None:
    found = refusal_of(HEAD + said)
    assert found is not None and (found.why, found.subject) == (why, subject) and found.why in AUDIT_WORDS
    assert found.address in ("127.0.0.1", "::1")


@pytest.mark.parametrize("line", ["", "no line", HEAD, HEAD + "127.0.0.1:1 - mid:6 - TLS handshake error: EOF",
                                  "[1] 2026/11/23 14:20:21.0 [INF] Server is ready"])
def test_what_is_no_refusal_is_none(line: str) -> None:
    assert refusal_of(line) is None


@given(st.text(max_size=300))
def test_no_line_breaks_it(text: str) -> None:
    found = refusal_of(HEAD + "127.0.0.1:1 - mid:8 - " + text)
    assert found is None or (found.why in AUDIT_WORDS and len(found.subject) <= 200)


def test_the_log_is_followed_over_halves_rolls_and_floods(tmp_path: Path) -> None:
    file, trail = tmp_path / "nats-server.log", Trail()
    assert RefusalTail(file, trail).look() == 0, "no log yet"
    file.write_text(FORGED + "\n", encoding="utf-8")
    tail = RefusalTail(file, trail)
    assert tail.look() == 0, "what was there before is not told again"
    with file.open("a", encoding="utf-8") as log:
        log.write(FORGED[:60])
        log.flush()
        assert tail.look() == 0
        log.write(FORGED[60:] + "\n")
    assert tail.look() == 1
    file.rename(tmp_path / "older.log")
    file.write_text(FORGED + "\n", encoding="utf-8")
    assert tail.look() == 1
    with file.open("a", encoding="utf-8") as log:
        log.write((FORGED + "\n") * (2 * LOOK_BYTES_MAX // len(FORGED)))
    assert 0 < tail.look() <= LOOK_BYTES_MAX // len(FORGED) + 1 and tail.look() == 0
    assert set(trail.lines) == {("spoke under a foreign topic", "tocsin.v1.b.up.alarm", "127.0.0.1")}
