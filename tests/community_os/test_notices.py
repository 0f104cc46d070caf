"""What people and systems are told: stored before it is sent, signed, tried again, given up with a reason."""

from __future__ import annotations

import asyncio
import base64
import http.server
import json
import os
import threading
from pathlib import Path

import msgspec
import pytest

from community_os.commands import make_key
from community_os.envelopes import (
    DeedEnvelope,
    DeliveredEnvelope,
    ShelfEnvelope,
    SilenceEnvelope,
    decode_envelope,
    encode_envelope,
)
from community_os.notice_desk import DutyFiles
from community_os.notice_signing import Ed25519Key, HmacKey, headers_of, is_genuine, parse_key, pause_us
from community_os.notice_store import NoticeStatus, NoticeStore
from community_os.notifier import Endpoint, Notifier, post_http
from community_os.settings import parse_cloud
from community_os.site_worker import Effects, SiteWorker
from community_os.store import IncidentStore, inline
from community_os.store_changes import AuditRow, IncidentRow, NoticeRow, OutcomeRow, SiteCommit
from device_model.alarm import AlarmState, Hazard
from device_model.clock import HOUR_US, MINUTE_US, SECOND_US, Now
from device_model.errors import ConfigError, LocalFault
from device_model.handling import Cause, IntakeKind
from device_model.incident_deeds import SelfCheck, TakeIn
from device_model.messages import AlarmRecord
from device_model.read_models import IncidentAction
from rules_engine.duty_file import parse_duty
from rules_engine.response_file import parse_response
from rules_engine.routing_file import parse_routing
from tests.community_os.site_messages import PATH, act, only_incident, rows, up
from tests.rules_engine.incident_house import INVENTORY, T0, step

EXAMPLES = Path(__file__).parents[2] / "examples/routing"
FILES = DutyFiles(
    parse_routing((EXAMPLES / "estate.yaml").read_text(encoding="utf-8"), "estate.yaml"),
    parse_duty((EXAMPLES / "duty.yaml").read_text(encoding="utf-8"), "duty.yaml"),
    parse_response((EXAMPLES / "response.yaml").read_text(encoding="utf-8"), "response.yaml"))


def site() -> SiteWorker:
    return SiteWorker(INVENTORY, {}, None, T0, FILES)


def told(effects: Effects) -> list[tuple[str, str]]:
    """(endpoint, type) of the notices of a step."""
    return sorted((row.endpoint, json.loads(row.body)["type"].split(".")[1]) for row in rows(effects, NoticeRow))


# --- the worker -------------------------------------------------------------------------------------------------


def test_a_fire_is_told_at_once_to_all_whom_law_1_names_and_to_who_is_on_duty() -> None:
    effects = site().step(up(AlarmRecord(step())))
    found = told(effects)
    assert {("owner-phone", "notification"), ("micro-station-app", "notification"), ("desk-screen", "notification"),
            ("dispatch-system", "notification")} <= set(found)
    body = json.loads(next(row.body for row in rows(effects, NoticeRow) if row.endpoint == "dispatch-system"))
    assert body["specversion"] == "1.0" and body["source"] == f"/tocsin/{PATH}" and body["time"].endswith("Z")
    assert body["data"]["life_safety"] and body["data"]["alarms"][0]["labels"]["zone"] == "b1-0"
    assert body["subject"] == only_incident(effects)


def test_water_goes_through_its_grades_and_calls_who_is_on_duty() -> None:
    one = site()
    effects = one.step(up(AlarmRecord(step("b1-0", Hazard.WATER))))
    assert not [row for row in rows(effects, NoticeRow) if row.endpoint == "dispatch-system"]
    waited = one.tick(T0 + 6 * SECOND_US)
    assert ("property-app", "notification") in told(waited)
    street = one.tick(T0 + 15 * MINUTE_US + SECOND_US)
    assert ("street-platform", "incident") in told(street)
    assert [row.view.handling.stage.value for row in rows(street, IncidentRow)][-1:] == ["street"]


def test_a_verified_fire_is_told_to_dispatch_and_a_replay_says_nothing_twice() -> None:
    def play() -> list[str]:
        one = site()
        names = [row.id for row in rows(one.step(up(AlarmRecord(step()))), NoticeRow)]
        effects = one.step(up(AlarmRecord(step("b1-0", Hazard.CALL_POINT, at_s=2)), first=2, at_s=2))
        assert ("dispatch-system", "incident") in told(effects), "verified, hence queued"
        return names + [row.id for row in rows(effects, NoticeRow)]

    assert play() == play() and len(set(play())) == len(play())


def test_checkpoints_keep_who_was_told_and_old_ones_are_read() -> None:
    one = site()
    one.step(up(AlarmRecord(step("b1-0", Hazard.WATER))))
    kept = one.checkpoint()
    other = site()
    other.resume(kept)
    assert other.checkpoint() == kept
    assert told(other.tick(T0 + 6 * SECOND_US)) == told(one.tick(T0 + 6 * SECOND_US)) != []
    old = {k: v for k, v in json.loads(kept).items() if k not in ("desk", "notices")}
    third = site()
    third.resume(json.dumps(old).encode())
    assert third.due_us() > 0


def test_deeds_silences_and_deliveries_come_through_the_stream() -> None:
    one = site()
    incident = only_incident(one.step(up(AlarmRecord(step("b1-0", Hazard.WATER)))))
    deed = DeedEnvelope(PATH, "", TakeIn(IntakeKind.CALL, Hazard.FIRE, "b2-0", "smoke"), "Li", "", "r1", T0)
    assert decode_envelope(encode_envelope(deed)) == deed
    effects = one.step(deed)
    assert rows(effects, OutcomeRow)[0].outcome.done and ("dispatch-system", "incident") not in told(effects)
    assert ("dispatch-system", "incident") in told(one.tick(T0 + 130 * SECOND_US)), "unanswered past the limit"
    refused = one.step(DeedEnvelope(PATH, incident, SelfCheck(Cause.STEAM), "Li", "", "r2", T0 + SECOND_US))
    assert rows(refused, OutcomeRow)[0].outcome.law == 3
    hush = SilenceEnvelope(PATH, "s1", "Li", "painting", "r3", T0 + 140 * SECOND_US, ("zone=b1-1",), T0 + HOUR_US)
    assert rows(one.step(hush), OutcomeRow)[0].outcome.done
    never = SilenceEnvelope(PATH, "s2", "Li", "painting", "r4", T0 + 140 * SECOND_US, ("hazard=fire",), T0 + HOUR_US)
    assert rows(one.step(never), OutcomeRow)[0].outcome.law == 2
    ended = msgspec.structs.replace(hush, request="r5", matchers=())
    assert rows(one.step(ended), OutcomeRow)[0].outcome.done
    assert not rows(one.step(msgspec.structs.replace(ended, request="r6")), OutcomeRow)[0].outcome.done
    dead = one.step(DeliveredEnvelope(PATH, incident, "n1", "street-platform", T0 + 200 * SECOND_US, "answered 500"))
    (row,) = [row for row in rows(dead, IncidentRow) if row.id == incident]
    assert row.view.handling.undelivered == 1 and row.view.log[-1].what == "notice_given_up"
    assert any(audit.what == "notice_given_up" for audit in rows(dead, AuditRow))


def test_an_answer_ends_the_calling() -> None:
    def called(answer: bool) -> int:
        one = site()
        incident = only_incident(one.step(up(AlarmRecord(step("b1-0", Hazard.WATER)))))
        if answer:
            one.step(act(incident, IncidentAction.ACKNOWLEDGE, 30))
        return sum(audit.what == "called" for s in range(60, 900, 60)
                   for audit in rows(one.tick(T0 + s * SECOND_US), AuditRow))

    assert called(False) >= 2 and called(True) == 0


def test_a_shelved_alarm_calls_nobody_until_its_time_is_over_and_fire_is_never_shelved() -> None:
    one = site()
    water, fire = step("b1-0", Hazard.WATER), step("b2-0")
    incident = only_incident(one.step(up(AlarmRecord(water))))
    name = f"{water.key.rule}|{water.key.subject}"
    shelf = ShelfEnvelope(PATH, name, "shelved", "Li", "known leak", "r1", T0 + SECOND_US, T0 + HOUR_US)
    assert decode_envelope(encode_envelope(shelf)) == shelf
    effects = one.step(shelf)
    assert rows(effects, OutcomeRow)[0].outcome.done and "shelved" in {a.what for a in rows(effects, AuditRow)}
    assert rows(effects, IncidentRow)[-1].view.alarms[0].shelf == "shelved"
    assert ("property-app", "notification") not in told(one.tick(T0 + 60 * SECOND_US))
    kept = one.checkpoint()
    one = site()
    one.resume(kept)
    effects = one.tick(T0 + HOUR_US)
    assert "shelf_over" in {a.what for a in rows(effects, AuditRow)}
    assert ("property-app", "notification") in told(one.tick(T0 + HOUR_US + 10 * SECOND_US)) + told(effects)
    one.step(up(AlarmRecord(fire), first=2, at_s=3700))
    never = msgspec.structs.replace(shelf, alarm=f"{fire.key.rule}|{fire.key.subject}", request="r2",
                                    at_us=T0 + 2 * HOUR_US, until_us=T0 + 3 * HOUR_US)
    assert rows(one.step(never), OutcomeRow)[0].outcome.law == 2
    for number, bad in enumerate((msgspec.structs.replace(shelf, why=" "), msgspec.structs.replace(shelf, kind="x"),
                                  msgspec.structs.replace(shelf, until_us=T0 + 9 * HOUR_US),
                                  msgspec.structs.replace(shelf, kind=""))):
        refused = one.step(msgspec.structs.replace(bad, request=f"b{number}"))
        assert not rows(refused, OutcomeRow)[0].outcome.done, bad
    assert incident


def test_an_isolated_device_is_not_told_of_and_a_drill_says_so() -> None:
    one = site()
    drill = msgspec.structs.replace(step(), drill=True)
    effects = one.step(up(AlarmRecord(drill)))
    assert all(json.loads(row.body)["data"]["alarms"][0]["labels"]["drill"] == "yes"
               for row in rows(effects, NoticeRow))


# --- signing --------------------------------------------------------------------------------------------------


def test_signatures_are_those_of_standard_webhooks_and_an_old_or_changed_one_is_refused(tmp_path: Path) -> None:
    secret = os.urandom(32)
    private = base64.b64decode(parse_text(tmp_path, "ed25519").removeprefix("whsk_"))
    public = base64.b64decode(_public(private))
    body, at_us = b'{"a":1}', T0
    for key, how in ((HmacKey(secret), {"secret": secret}), (Ed25519Key(private), {"public": public})):
        headers = {name.lower(): value for name, value in headers_of("n1", body, at_us, key).items()}
        assert is_genuine(headers, body, at_us, **how)
        assert not is_genuine(headers, body + b" ", at_us, **how)
        assert not is_genuine(headers, body, at_us + 301 * SECOND_US, **how)
        assert not is_genuine({**headers, "webhook-id": "n2"}, body, at_us, **how)
        assert not is_genuine({**headers, "webhook-signature": "v1a,AAAA v1,AAAA"}, body, at_us, **how)
    # The example of the Standard Webhooks specification.
    example = HmacKey(base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    signed = headers_of("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', 1_614_265_330 * SECOND_US, example)
    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def parse_text(folder: Path, kind: str) -> str:
    path = folder / f"{kind}.key"
    said = make_key(path, kind)
    assert path.stat().st_mode & 0o077 == 0 and "receiver" in said
    with pytest.raises(LocalFault, match="never overwritten"):
        make_key(path, kind)
    text = path.read_text(encoding="utf-8")
    parse_key(text)
    return text.strip()


def _public(private: bytes) -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return base64.b64encode(Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()).decode()


@pytest.mark.parametrize("text", ["", "secret", "whsec_!!!", "whsec_AAAA", "whsk_AAAA"])
def test_keys_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_key(text)


def test_what_law_1_names_is_tried_faster() -> None:
    assert [pause_us(n, urgent=True) // SECOND_US for n in (1, 2, 3, 99)] == [1, 2, 5, 30]
    assert [pause_us(n, urgent=False) // SECOND_US for n in (1, 99)] == [5, 900]


@pytest.mark.parametrize(("endpoint", "what"), [
    ("{name: a, url: 'http://example.org/x', key_file: k}", "is no https address"),
    ("{name: a, url: 'https://example.org/x'}", "has no key_file"),
    ("{name: a, url: 'ftp://127.0.0.1/x', key_file: k}", "is no https address"),
])
def test_endpoints_are_safe_or_refused(endpoint: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        parse_cloud(f"endpoints: [{endpoint}]", "cloud.yaml")
    settings = parse_cloud("endpoints: [{name: a, url: 'http://127.0.0.1:1/x'}]\nrouting: r.yaml", "etc/cloud.yaml")
    assert settings.routing == "etc/r.yaml"


# --- the sender -------------------------------------------------------------------------------------------------


class Stopped:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.us = T0

    def now(self) -> Now:
        return Now(self.us, self.us, "b")

    async def sleep(self, seconds: float) -> None:
        self.us += round(seconds * SECOND_US)


class Heard:
    """A stream that remembers."""

    def __init__(self) -> None:
        self.envelopes: dict[str, DeliveredEnvelope] = {}

    async def publish(self, subject: str, payload: bytes, *, message_id: str) -> int:
        assert subject.endswith(".told")
        envelope = decode_envelope(payload)
        assert isinstance(envelope, DeliveredEnvelope)
        self.envelopes[message_id] = envelope
        return len(self.envelopes)


def stored(*endpoints: str) -> NoticeStore:
    store = IncidentStore("sqlite://")
    store.open()
    rows_ = tuple(NoticeRow(f"n-{e}", PATH, e, "i1", "notification", T0, True, b'{"x":1}') for e in endpoints)
    store.apply([SiteCommit(PATH, 1, rows_)])
    store.apply([SiteCommit(PATH, 2, rows_)])  # a replay
    return NoticeStore(store)


async def test_a_notice_is_tried_again_and_then_given_up_with_its_reason() -> None:
    notices, clock, heard, tries = stored("good", "bad", "gone"), Stopped(), Heard(), []

    async def post(endpoint: Endpoint, body: bytes, headers: dict[str, str]) -> str:
        tries.append((endpoint.name, headers["webhook-id"]))
        return "" if endpoint.name == "good" else "answered 503"

    endpoints = {name: Endpoint(name, "http://127.0.0.1/", None) for name in ("good", "bad")}
    sender = Notifier(notices, inline, heard, clock, endpoints=endpoints, post=post)  # type: ignore[arg-type]  # only publish is used
    for seconds in (0, 1, 2, 5, 10, 30, 86_400, 60):
        clock.us += seconds * SECOND_US
        await sender.once()
        await sender.settled()
        await sender.report()
    assert tries.count(("good", "n-good")) == 1 and tries.count(("bad", "n-bad")) >= 7
    assert {n.id: n.reason for n in notices.listed(NoticeStatus.DEAD)} == {
        "n-bad": "answered 503", "n-gone": "there is no endpoint 'gone' in cloud.yaml"}
    assert {(e.notice, e.given_up) for e in heard.envelopes.values()} == {
        ("n-good", ""), ("n-bad", "answered 503"), ("n-gone", "there is no endpoint 'gone' in cloud.yaml")}
    assert notices.again("n-bad", clock.us) and not notices.again("n-good", clock.us)
    endpoints["bad"] = msgspec.structs.replace(endpoints["bad"], name="good")
    await sender.once()
    await sender.settled()
    assert {n.id for n in notices.listed(NoticeStatus.SENT)} == {"n-good", "n-bad"}


async def test_an_endpoint_that_hangs_hides_no_other() -> None:
    store = IncidentStore("sqlite://")
    store.open()
    many = [NoticeRow(f"h{n:03}", PATH, "hangs", "i", "notification", T0, True, b"{}") for n in range(300)]
    store.apply([SiteCommit(PATH, 1, (*many, NoticeRow("x", PATH, "good", "i", "incident", T0, False, b"{}")))])
    hang, clock = asyncio.Event(), Stopped()

    async def post(endpoint: Endpoint, body: bytes, headers: dict[str, str]) -> str:
        if endpoint.name == "hangs":
            await hang.wait()
        return ""

    endpoints = {name: Endpoint(name, "http://127.0.0.1/", None) for name in ("good", "hangs")}
    sender = Notifier(NoticeStore(store), inline, Heard(), clock, endpoints=endpoints, post=post)  # type: ignore[arg-type]  # only publish is used
    for _ in range(3):
        await sender.once()
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert [n.id for n in NoticeStore(store).listed(NoticeStatus.SENT)] == ["x"]
    hang.set()
    await sender.settled()


def test_a_changed_routing_file_tells_what_stands_to_whom_it_names_now() -> None:
    one = site()
    one.step(up(AlarmRecord(step())))
    text = (EXAMPLES / "estate.yaml").read_text(encoding="utf-8")
    text = text.replace("life_safety: [owner,", "life_safety: [street, owner,")
    files = msgspec.structs.replace(FILES, routing=parse_routing(text, "estate.yaml"))
    other = SiteWorker(INVENTORY, {}, None, T0, files)
    other.resume(one.checkpoint())
    assert other.due_us() <= T0 + SECOND_US
    effects = other.tick(T0 + SECOND_US)
    assert {row.endpoint for row in rows(effects, NoticeRow)} == {"street-platform"}


@pytest.mark.real
async def test_a_real_receiver_gets_it_signed_and_a_refusal_is_a_reason() -> None:
    got: list[tuple[dict[str, str], bytes]] = []

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(({k.lower(): v for k, v in self.headers.items()},
                        self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200 if self.path == "/good?x=1" else 302)
            self.send_header("Location", "/good?x=1")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        base = f"http://127.0.0.1:{server.server_address[1]}"
        secret, body = os.urandom(32), b'{"specversion":"1.0"}'
        good = Endpoint("a", base + "/good?x=1", HmacKey(secret))
        assert await post_http(good, body, headers_of("n1", body, T0, good.key)) == ""
        assert is_genuine(got[0][0], got[0][1], T0, secret=secret)
        assert got[0][0]["content-type"].startswith("application/cloudevents+json")
        moved = Endpoint("a", base + "/moved", None)
        assert (await post_http(moved, body, {})).startswith("answered 302") and len(got) == 2, "never followed"
    finally:
        server.shutdown()
        server.server_close()
    assert "refused" in (await post_http(good, body, {})).lower()


def test_a_cleared_alarm_is_told_as_resolved() -> None:
    one = site()
    one.step(up(AlarmRecord(step())))
    over = one.step(up(AlarmRecord(step("b1-0", Hazard.FIRE, AlarmState.CLEARED, 60)), first=2, at_s=60))
    assert isinstance(over, Effects)
    later = one.tick(T0 + 600 * SECOND_US)
    assert {json.loads(row.body)["data"]["state"] for row in rows(later, NoticeRow)
            if "notification" in json.loads(row.body)["type"]} == {"resolved"}

