"""Signing in by another service: a real provider on loopback, and all that it or somebody between may get wrong."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from joserfc import jwt
from joserfc.jwk import ECKey

from community_os.accounts import Accounts
from community_os.audit_book import AuditBook
from community_os.audit_desk import BookDesk
from community_os.oidc import Oidc
from community_os.oidc_settings import Grant, OidcSettings, granted
from community_os.passwords import Passwords
from community_os.settings import parse_cloud
from dashboards.server import PeopleParts, create_app
from device_model.errors import ConfigError
from tests.dashboards.memory_board import FixedClock, MemoryBoard, fire

NOW = 1_790_000_000.0
CLAIMS = {"sub": "u-1", "preferred_username": "Chen Jing", "groups": ["staff", "fire-brigade"]}


def coded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


class Provider:
    """An OpenID provider: authorization code with PKCE, ES256, one person. change: what it does wrong."""

    def __init__(self) -> None:
        self.key = ECKey.generate_key("P-256", {"kid": "k1", "alg": "ES256", "use": "sig"})
        self.url, self.claims, self.header = "", dict(CLAIMS), {"alg": "ES256", "kid": "k1"}
        self.change: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.signed_by: Any = None
        self.asked: list[str] = []
        self.app = FastAPI()
        self.app.get("/.well-known/openid-configuration")(self.describe)
        self.app.get("/authorize")(self.authorize)
        self.app.post("/token")(self.token)
        self.app.get("/keys")(self.keys)

    async def describe(self) -> Response:
        return JSONResponse({"issuer": self.change.get("described", self.url), "token_endpoint": f"{self.url}/token",
                             "authorization_endpoint": f"{self.url}/authorize", "jwks_uri": f"{self.url}/keys"})

    async def keys(self) -> Response:
        self.asked.append("keys")
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    async def authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        assert asked["response_type"] == "code" and asked["code_challenge_method"] == "S256" and asked["nonce"]
        self.codes["code-1"] = asked
        return RedirectResponse(f"{asked['redirect_uri']}?code=code-1&state={asked['state']}", 303)

    async def token(self, request: Request) -> Response:
        form = {key: values[0] for key, values in parse_qs((await request.body()).decode()).items()}
        asked = self.codes.pop(form["code"], None)
        if asked is None or form["redirect_uri"] != asked["redirect_uri"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        if challenge.decode() != asked["code_challenge"] or form.get("client_secret") != "s3cret":
            return JSONResponse({"error": "invalid_grant"}, 400)
        claims = {"iss": self.url, "aud": "tocsin", "iat": NOW, "exp": NOW + 300, "nonce": asked["nonce"],
                  **self.claims, **self.change.get("claims", {})}
        claims = {key: value for key, value in claims.items() if value is not None}
        if self.change.get("alg"):  # none, or the public key taken as a shared secret: what libraries once fell for
            signed = ".".join(coded(json.dumps(one).encode()) for one in (
                {"alg": self.change["alg"], "kid": "k1"}, claims))
            secret = self.key.as_pem(private=False)
            token = f"{signed}.{coded(hmac.digest(secret, signed.encode(), 'sha256'))}"
        else:
            token = jwt.encode(self.header, claims, self.signed_by or self.key, algorithms=["ES256"])
        return JSONResponse({"access_token": "a", "token_type": "Bearer", "id_token": token})


class House:
    """Tocsin with that provider."""

    def __init__(self, folder: Path, provider: Provider) -> None:
        self.provider, self.now = provider, NOW
        self.book = AuditBook(folder / "audit")
        self.accounts = Accounts(folder / "accounts.json", trail=self.book, now_s=lambda: self.now,
                                 passwords=Passwords(time_cost=1, memory_kib=8))
        settings = OidcSettings("City", provider.url, "tocsin", (
            Grant("fire-brigade", "brigade", "hangzhou/yuhang"), Grant("staff", "auditor")))
        self.oidc = Oidc(settings, self.accounts, self.book, secret="s3cret", now_s=lambda: self.now)
        board = MemoryBoard(fire())
        self.app = create_app(board, clock=FixedClock(), sign_in=self.accounts, work=board, trail=self.book,
                              people=PeopleParts(self.accounts, self.oidc, BookDesk(self.book)))

    def browser(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://tocsin.test",
                                 headers={"Accept-Language": "en"})

    async def through(self, browser: httpx.AsyncClient) -> httpx.Response:
        """From the button to the answer of the way back."""
        away = await browser.get("/outside")
        assert away.status_code == 303, away.text
        async with httpx.AsyncClient(trust_env=False) as web:
            back = (await web.get(away.headers["location"])).headers["location"]
        parts = urlsplit(back)
        return await browser.get(f"{parts.path}?{parts.query}")

    def refusals(self) -> list[str]:
        return [record.why for record in self.book.newest(lambda r: r.what == "sign-in refused", 10)]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    provider = Provider()
    server = uvicorn.Server(uvicorn.Config(provider.app, host="127.0.0.1", port=0, log_level="error", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    provider.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield House(tmp_path, provider)
    server.should_exit = server.force_exit = True
    with contextlib.suppress(asyncio.CancelledError):
        await serving


pytestmark = pytest.mark.real


async def test_the_whole_way(house: House) -> None:
    browser = house.browser()
    assert "Sign in with City" in (await browser.get("/sign-in")).text
    answer = await house.through(browser)
    # A page of our own between: a strict cookie does not travel with a redirect that another site began.
    assert answer.status_code == 200 and 'content="0;url=/board"' in answer.text
    person = house.accounts.person(browser.cookies["tocsin_session"])
    assert person is not None
    assert (person.name, person.role, person.scope) == ("Chen Jing", "brigade", "hangzhou/yuhang")
    assert (await browser.get("/board")).status_code == 200
    assert "kept by the service" in (await browser.get("/account")).text
    assert house.book.newest(lambda r: r.what == "signed in", 1)[0].why == "another service"
    house.provider.claims["groups"] = ["staff"]
    await house.through(browser)
    again = house.accounts.person(browser.cookies["tocsin_session"])
    assert again is not None and (again.role, again.scope) == ("auditor", "")  # claims decide each time
    assert house.provider.asked == ["keys"]  # known for an hour


WRONG: dict[str, dict[str, Any]] = {
    "nonce": {"claims": {"nonce": "another"}}, "no nonce": {"claims": {"nonce": None}},
    "issuer": {"claims": {"iss": "https://evil.example"}}, "audience": {"claims": {"aud": "other"}},
    "over": {"claims": {"exp": NOW - 120}}, "no end": {"claims": {"exp": None}}, "unsigned": {"alg": "none"},
    "shared secret": {"alg": "HS256"},
    "many audiences, other party": {"claims": {"aud": ["tocsin", "x"], "azp": "x"}},
    "many audiences, no party": {"claims": {"aud": ["tocsin", "x"]}},
    "nothing granted": {"claims": {"groups": ["cook"]}},
    "groups no list": {"claims": {"groups": {"fire-brigade": 1}}},
    "no name": {"claims": {"preferred_username": None}},
    "name no text": {"claims": {"preferred_username": 7}}, "hostile name": {"claims": {"preferred_username": "<b>x"}},
    "a local name": {"claims": {"preferred_username": "root"}}, "no subject": {"claims": {"sub": None}},
}


@pytest.mark.parametrize("what", sorted(WRONG))
async def test_what_does_not_hold_is_refused_and_noted(house: House, what: str) -> None:
    house.accounts.put("root", "correct horse battery", role="admin")
    house.provider.change = WRONG[what]
    browser = house.browser()
    answer = await house.through(browser)
    assert answer.status_code == 403 and "tocsin_session" not in browser.cookies, what
    assert len(house.refusals()) == 1 and house.refusals()[0].startswith("City: ")
    assert [row.name for row in house.accounts.people("")] == ["root"]


async def test_signatures_of_others_are_refused(house: House) -> None:
    house.provider.signed_by = ECKey.generate_key("P-256", {"kid": "k1"})
    assert (await house.through(house.browser())).status_code == 403


async def test_a_new_key_of_the_service_is_fetched(house: House) -> None:
    await house.through(house.browser())
    house.provider.key = ECKey.generate_key("P-256", {"kid": "k2", "alg": "ES256", "use": "sig"})
    house.provider.header = {"alg": "ES256", "kid": "k2"}
    house.now += 90
    assert (await house.through(house.browser())).status_code == 200
    assert house.provider.asked == ["keys", "keys"]


async def test_state_counts_once_in_one_browser_and_for_ten_minutes(house: House) -> None:
    browser, thief = house.browser(), house.browser()
    away = await browser.get("/outside")
    state = parse_qs(urlsplit(away.headers["location"]).query)["state"][0]
    # Another's browser with the same state: login CSRF, or a stolen link.
    assert (await thief.get(f"/outside/back?code=x&state={state}")).status_code == 403
    assert (await browser.get(f"/outside/back?code=x&state={state}")).status_code == 403  # spent
    assert (await browser.get("/outside/back?code=x&state=made-up")).status_code == 403
    away = await browser.get("/outside")
    state = parse_qs(urlsplit(away.headers["location"]).query)["state"][0]
    house.now += 601
    assert (await browser.get(f"/outside/back?code=x&state={state}")).status_code == 403
    away = await browser.get("/outside")
    state = parse_qs(urlsplit(away.headers["location"]).query)["state"][0]
    answer = await browser.get(f"/outside/back?error=access_denied<script>&state={state}")
    assert answer.status_code == 403 and "<script>" not in answer.text and "access_denied" in answer.text


async def test_the_same_name_of_somebody_else_there_is_refused(house: House) -> None:
    await house.through(house.browser())
    house.provider.claims["sub"] = "u-2"
    assert (await house.through(house.browser())).status_code == 403
    assert "belongs to somebody else" in house.refusals()[0]


@pytest.mark.parametrize("described", ["https://evil.example", ""])
async def test_a_service_of_another_name_is_not_asked(house: House, described: str) -> None:
    house.provider.change = {"described": described}
    answer = await house.browser().get("/outside")
    assert answer.status_code == 502 and "names itself otherwise" in answer.text


async def test_a_service_that_is_away_is_said(house: House) -> None:
    house.oidc._settings = OidcSettings("City", "http://127.0.0.1:9", "tocsin", ())
    answer = await house.browser().get("/outside")
    assert answer.status_code == 502 and "does not answer" in answer.text


def test_claims_may_lie_deep() -> None:
    settings = OidcSettings("n", "https://i", "c", (Grant("a", "desk"),), claim="realm_access.roles")
    assert granted(settings, {"realm_access": {"roles": ["x", "a"]}}) is not None
    assert granted(settings, {"realm_access": ["a"]}) is None and granted(settings, {}) is None


@pytest.mark.parametrize(("line", "said"), [
    ("issuer: http://login.example.org", "no https address"), ("grants: []", "nobody is let in"),
    ("grants: [{value: x, role: king}]", "no role 'king'"),
    ("grants: [{value: x, role: desk, scope: ../x}]", "no scope"),
    ("scopes: profile", "no ID token"),
])
def test_settings_are_checked(line: str, said: str) -> None:
    known = {"name": "City", "issuer": "https://login.example.org", "client_id": "tocsin",
             "grants": "[{value: x, role: desk}]"}
    key, _, value = line.partition(": ")
    text = "oidc:\n" + "".join(f"  {name}: {known_value}\n" for name, known_value in {**known, key: value}.items())
    with pytest.raises(ConfigError, match=said):
        parse_cloud(text, "cloud.yaml")
    good = "oidc:\n" + "".join(f"  {name}: {known_value}\n" for name, known_value in known.items())
    parsed = parse_cloud(good + "  client_secret_file: s.key\n", "conf/cloud.yaml").oidc
    assert parsed is not None and parsed.client_secret_file == "conf/s.key"
