"""Nobody reads or moves what is not theirs: random requests over all routes, roles and tenants of the real app."""

from __future__ import annotations

import asyncio
import random
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
import pytest
from real_app import SCOPES, T0, TENANTS, RealApp, foreign_marks, made

from community_os.store_changes import IncidentRow, SiteCommit
from dashboards.gate import OPEN_MOUNTS, ROUTES, Open, routes_of
from dashboards.rights import ROLES, covers
from device_model.read_models import IncidentAction, IncidentView
from device_model.site import Tenancy

HOSTILE = ("../../etc/passwd", "..%2f..%2fetc", "' OR 1=1 --", "1; DROP TABLE incident", "<script>alert(1)</script>",
           "\x00", "%", "_", "*", "", "a" * 300, "{{7*7}}", "хангжоу", "leak")
STREAMS = re.compile(r"/(events|stream|live)$")
PARAMETERS = ("site", "path", "scope", "place", "q", "within", "city", "district", "street", "incident", "id",
              "after", "from", "to", "format", "below", "who", "whole", "name", "window", "days", "device", "point",
              "kind")


@pytest.fixture(scope="module")
def real() -> Iterator[RealApp]:
    with tempfile.TemporaryDirectory(prefix="tocsin-rights-") as folder:
        app = RealApp(Path(folder))
        yield app
        app.close()


def test_every_route_declares_its_deed_and_every_line_has_a_route(real: RealApp) -> None:
    served = list(routes_of(real.app.routes))
    assert [name for name, mount in served if not mount and name not in ROUTES] == []
    assert {name for name, mount in served if mount} == OPEN_MOUNTS
    # Routes of desks that a program may leave out (another service, gateways that come) may be missing here.
    assert len([name for name in ROUTES if name not in dict(served)]) <= 20
    assert all(isinstance(rule, Open) or any(rule in deeds for _, deeds in ROLES.values()) or rule in (
        "own_account", "see_environment", "report_hazard", "see_own_building") for rule in ROUTES.values())


async def ask(real: RealApp, method: str, target: str, cookie: str, body: bytes = b"", *, chunks: int = 40,
              headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """One request straight into the application; (status, headers and body). A stream is left after some pieces."""
    path, _, query = target.partition("?")
    sent = {"host": "test", "x-tocsin": "board", "content-length": str(len(body)), **(headers or {})}
    if cookie:
        sent["cookie"] = f"tocsin_session={cookie}"
    scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1",
             "method": method, "path": path, "raw_path": quote(path).encode(), "root_path": "", "scheme": "http",
             "query_string": query.encode(), "client": ("10.0.0.7", 1), "server": ("test", 80),
             "headers": [(name.encode(), value.encode()) for name, value in sent.items()]}
    got: list[bytes] = []
    status = 0
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop()
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            got.append(b"".join(value for _, value in message["headers"]))
        else:
            got.append(message.get("body", b""))
            if len(got) > chunks:
                raise OSError("left")

    try:
        async with asyncio.timeout(0.05 if STREAMS.search(path) else 60):
            await real.app(scope, receive, send)
    except (TimeoutError, OSError):
        assert STREAMS.search(path), target
    except Exception as error:
        if type(error).__name__ != "ClientDisconnect":
            raise
    return status, b"\n".join(got)


def a_request(real: RealApp, draw: random.Random, routes: list[str]) -> tuple[str, str, bytes]:
    method, _, template = draw.choice(routes).partition(" ")
    tenant = draw.choice(TENANTS)
    place = {"city": tenant.city, "district": tenant.district, "street": tenant.street, "site": tenant.site}

    def value(name: str) -> str:
        if draw.random() < 0.1:
            return draw.choice(HOSTILE).replace("/", "%2f")
        if name in place:
            return place[name]
        return draw.choice(real.ids if draw.random() < 0.8 else ("plan-1", "b1", "ground", "csv", "2026-09"))

    path = re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: value(found[1]), template)
    if draw.random() < 0.4:
        values = (tenant.path, tenant.site, tenant.city, *HOSTILE, *real.ids[:3])
        wanted = {draw.choice(PARAMETERS): draw.choice(values)
                  for _ in range(draw.randrange(1, 4))}
        path += "?" + urlencode(wanted, errors="replace")
    if method == "GET":
        return method, path, b""
    request = f"click-{draw.randrange(10**9):09d}"
    text = draw.choice((*HOSTILE, "because"))
    common = {"request": request, "why": text, "who": "x", "site": tenant.path, "path": tenant.path,
              "scope": tenant.path, "incident": draw.choice(real.ids), "id": draw.choice(real.ids), "note": text}
    bodies: list[Any] = [
        {**common, "action": draw.choice(list(IncidentAction)).value},
        {**common, "deed": {"type": draw.choice(("merge", "split", "do_task", "start_drill", "verify", "call_made")),
                            "into": draw.choice(real.ids), "task": "t", "result": text, "title": text}},
        {**common, "name": "night", "matchers": ["kind=fault"], "minutes": 60},
        {**common, "alarm": "r|s", "kind": "shelved", "minutes": 5}, common, {}, [], text,
    ]
    fitting = {"actions": 0, "deeds": 1, "silences": 2, "shelf": 3}.get(template.rpartition("/")[2])
    body = draw.choice(bodies) if fitting is None or draw.random() < 0.3 else bodies[fitting]
    return method, path, msgspec.json.encode(body)


async def attack(real: RealApp, count: int, seed: int) -> dict[int, int]:
    draw = random.Random(seed)
    routes = [name for name, mount in routes_of(real.app.routes) if not mount]
    # A stream that waits takes its time-out, hashing a password or reading all rules their own: few are enough.
    rare = [name for name in routes if STREAMS.search(name) or "/sign-in" in name or "/account/" in name
            or "/api/packs" in name]
    often = [name for name in routes if name not in rare]
    people = [*real.cookies.items(), (("", ""), ""), (("", ""), "forged")]
    seen: dict[int, int] = {}
    for _ in range(count):
        (role, scope), cookie = draw.choice(people)
        method, target, body = a_request(real, draw, rare if draw.random() < 0.01 else often)
        if target.startswith(("/people/", "/sign-out", "/account/")) and method == "POST" and role:
            continue  # ends sessions by right: the same people go on here (test_account_pages.py has these)
        before = len(real.stream.let_through)
        status, answer = await ask(real, method, target, cookie, body)
        said = f"{role or 'nobody'} of {scope or 'all'}: {method} {target} -> {status}"
        assert status and status < 500, said
        assert b"text/html" not in answer or b"<script>alert" not in answer, said
        marks = foreign_marks(scope) if role else tuple(f"leak-{tenant.site}".encode() for tenant in TENANTS)
        assert not [mark for mark in marks if mark in answer], said
        for path, _ in real.stream.let_through[before:]:
            assert role and covers(scope, path), f"{said} moved {path}"
        seen[status] = seen.get(status, 0) + 1
    return seen


async def test_ten_thousand_random_requests_leak_nothing(real: RealApp) -> None:
    seen = await attack(real, 10_000, seed=8)
    assert seen[200] > 200 and seen[403] > 200 and seen[404] > 50 and len(real.stream.let_through) > 10
    assert real.book.verify().ok


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(6))
async def test_many_more_random_requests_leak_nothing(real: RealApp, seed: int) -> None:
    assert (await attack(real, 10_000, seed=seed))[200] > 800


@pytest.mark.parametrize("scope", [*SCOPES, ""])
async def test_streams_carry_the_own_tenants_only(real: RealApp, scope: str) -> None:
    """Changes of all tenants happen while each role's stream is open."""
    following = asyncio.create_task(real.board.run())
    routes = [name.removeprefix("GET ") for name, _ in routes_of(real.app.routes)
              if STREAMS.search(name) and name.startswith("GET ") and "{" not in name]
    try:
        await asyncio.sleep(0)
        for role in ("brigade", "property", "resident"):
            reading = [asyncio.create_task(ask(real, "GET", path, real.cookies[role, scope])) for path in routes]
            await asyncio.sleep(0.01)
            for tenancy in TENANTS:
                change(real, tenancy)
            for status, answer in await asyncio.gather(*reading):
                assert status in (200, 403, 404)
                assert not [mark for mark in foreign_marks(scope) if mark in answer]
                if role == "resident":
                    assert status == 403
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def change(real: RealApp, tenancy: Tenancy) -> None:
    view = msgspec.structs.replace(made(IncidentView, tenancy, f"{tenancy.site}-incidentrow-0"), updated_us=T0 + 1)
    real.stream.count += 1
    real.store.apply([SiteCommit(tenancy.path, real.stream.count, (IncidentRow(view),), tick=True)])


@pytest.mark.parametrize("cookie", ["", "forged", "a" * 5000, "'; DROP TABLE x; --", "../../x"])
async def test_nothing_is_open_without_sign_in(real: RealApp, cookie: str) -> None:
    for name, mount in routes_of(real.app.routes):
        method, _, path = name.partition(" ")
        if mount or isinstance(ROUTES[name], Open):
            continue
        status, answer = await ask(real, method, re.sub(r"\{[^}]+\}", real.ids[0], path), cookie, b"{}")
        assert status == 303 if method == "GET" and not path.startswith("/api/") else status == 401, name
        assert b"leak-" not in answer


@pytest.mark.parametrize("target", [
    "/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2fserver.py", "/static//etc/passwd",
    "/static/....//server.py", "/static/..\\server.py", "/plans/hangzhou/yuhang/cangqian/riverside/..%2f..%2fx",
    "/photos/..%2f..%2faccounts.json", "/texts/../../x.json", "/texts/%2e%2e.json",
])
async def test_paths_that_climb_reach_no_file(real: RealApp, target: str) -> None:
    from urllib.parse import unquote

    status, answer = await ask(real, "GET", unquote(target), real.cookies["admin", ""])
    assert status in (200, 303, 307, 403, 404, 405) and b"import" not in answer and b"argon2id" not in answer
    assert status != 200 or target.startswith("/texts/")


async def test_foreign_pages_move_nothing(real: RealApp) -> None:
    """CSRF over every route that writes, with the cookie along."""
    before = len(real.stream.let_through)
    for name, mount in routes_of(real.app.routes):
        method, _, path = name.partition(" ")
        if mount or method == "GET":
            continue
        for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
            status, answer = await ask(real, method, re.sub(r"\{[^}]+\}", "x", path), real.cookies["admin", ""],
                                       b"name=x&role=admin&scope=", headers=headers)
            assert status == 403 and b"did not come from our pages" in answer, name
    assert len(real.stream.let_through) == before
