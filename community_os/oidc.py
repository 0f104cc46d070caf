"""Signing in by another service (I/O): OpenID Connect, authorization code with PKCE.

    /outside ──► leave_to: state, nonce, verifier kept here for ten minutes, bound to the browser by a cookie
        browser ──► the service ──► /outside/back?code&state
    back: state once, cookie, issuer ──► code + verifier ──► ID token: signature, iss, aud, azp, exp, iat, nonce
        claims ──► the first grant of the settings ──► Accounts.enter_outside

Every refusal is noted in the audit; what is told to the browser says only that it did not succeed, and why in words.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from community_os.accounts import Accounts
from community_os.oidc_settings import OidcSettings, granted
from dashboards.account_desk import Entry, NotDone
from dashboards.people import Trail
from device_model.errors import LocalFault

PENDING_S = 600.0
PENDING_MAX = 1000
KNOWN_S = 3600.0  # metadata and keys; an unknown key asks anew, at most once a minute
LEEWAY_S = 60
ANSWER_BYTES_MAX = 256 * 1024
WITHIN_S = 10.0
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class _Pending(msgspec.Struct, frozen=True):
    kept: str
    nonce: str
    verifier: str
    until_s: float


class _Service(msgspec.Struct):
    """What discovery said. All addresses are the service's own word."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


class Oidc:
    """Implements `dashboards.account_pages.OutsideSignIn`."""

    def __init__(self, settings: OidcSettings, accounts: Accounts, trail: Trail, *, secret: str = "",
                 now_s: Callable[[], float] = time.time) -> None:
        self.name = settings.name
        self._settings, self._accounts, self._trail, self._now_s = settings, accounts, trail, now_s
        self._secret = secret
        self._pending: dict[str, _Pending] = {}
        self._service: tuple[float, _Service] | None = None
        self._keys: tuple[float, KeySet] | None = None

    async def leave_to(self, base: str) -> tuple[str, str]:
        """Where to send the browser, and what its cookie keeps. NotDone where the service does not answer."""
        service = await self._discovered()
        now = self._now_s()
        state, kept = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        pending = _Pending(kept, secrets.token_urlsafe(24), secrets.token_urlsafe(48), now + PENDING_S)
        self._pending = {key: one for key, one in self._pending.items() if now < one.until_s}
        while len(self._pending) >= PENDING_MAX:
            del self._pending[next(iter(self._pending))]
        self._pending[state] = pending
        return prepare_grant_uri(
            service.authorization_endpoint, self._settings.client_id, "code", redirect_uri=_back(base),
            scope=self._settings.scopes, state=state, nonce=pending.nonce, code_challenge_method="S256",
            code_challenge=create_s256_code_challenge(pending.verifier)), kept

    async def back(self, base: str, query: dict[str, str], kept: str, address: str, agent: str) -> Entry:
        """The browser is back. NotDone with the reason."""
        try:
            return await self._back(base, query, kept, address, agent)
        except NotDone as error:
            self._trail.note("", "sign-in refused", why=f"{self.name}: {error}", where=address)
            raise

    async def _back(self, base: str, query: dict[str, str], kept: str, address: str, agent: str) -> Entry:
        pending = self._pending.pop(query.get("state", ""), None)
        if pending is None or self._now_s() >= pending.until_s:
            raise NotDone("it took too long, or was not begun here")
        if not hmac.compare_digest(pending.kept.encode(), kept.encode()):
            raise NotDone("it was begun in another browser")
        if query.get("error"):
            raise NotDone(f"the service said {query['error'][:80]!r}")
        service = await self._discovered()
        if query.get("iss", service.issuer) != service.issuer:
            raise NotDone("another service answered")
        claims = await self._claims(service, query.get("code", ""), pending, base)
        grant = granted(self._settings, claims)
        name = claims.get(self._settings.name_claim)
        if not isinstance(name, str) or grant is None:
            raise NotDone("nothing here is granted to this person")
        return await asyncio.to_thread(self._accounts.enter_outside, name, grant.role, grant.scope, address, agent,
                                       subject=f"{service.issuer}#{claims['sub']}")

    async def _claims(self, service: _Service, code: str, pending: _Pending, base: str) -> dict[str, Any]:
        """The claims of a validated ID token."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": _back(base),
                "client_id": self._settings.client_id, "code_verifier": pending.verifier}
        if self._secret:
            form["client_secret"] = self._secret
        answer = await self._asked("POST", service.token_endpoint, form)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise NotDone("the service gave no ID token")
        try:
            claims = (await self._decoded(service, token)).claims
            registry = jwt.JWTClaimsRegistry(
                now=lambda: int(self._now_s()), leeway=LEEWAY_S, iss={"essential": True, "value": service.issuer},
                aud={"essential": True, "value": self._settings.client_id}, exp={"essential": True},
                iat={"essential": True}, nonce={"essential": True, "value": pending.nonce}, sub={"essential": True})
            registry.validate(claims)
        except (JoseError, ValueError, TypeError) as error:
            raise NotDone(f"its ID token does not hold: {type(error).__name__}") from error
        audience = claims["aud"]
        others = isinstance(audience, list) and len(audience) > 1
        if claims.get("azp", self._settings.client_id if not others else "") != self._settings.client_id:
            raise NotDone("its ID token is for another program")
        return dict(claims)

    async def _decoded(self, service: _Service, token: str) -> jwt.Token:
        """The token, its signature checked; keys that are not known are asked for once more."""
        try:
            return jwt.decode(token, await self._key_set(service, KNOWN_S), algorithms=ALGORITHMS)
        except (JoseError, ValueError):
            return jwt.decode(token, await self._key_set(service, 60.0), algorithms=ALGORITHMS)

    async def _key_set(self, service: _Service, known_s: float) -> KeySet:
        if self._keys is None or self._now_s() - self._keys[0] > known_s:
            found = await self._asked("GET", service.jwks_uri)
            # A symmetric key among public ones would let anybody who reads them sign.
            public = [key for key in found.get("keys", []) if isinstance(key, dict) and key.get("kty") != "oct"]
            try:
                self._keys = (self._now_s(), KeySet.import_key_set({"keys": public}))
            except (JoseError, ValueError, TypeError) as error:
                raise NotDone("the keys of the service cannot be read") from error
        return self._keys[1]

    async def _discovered(self) -> _Service:
        now = self._now_s()
        if self._service is None or now - self._service[0] > KNOWN_S:
            found = await self._asked("GET", self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration")
            try:
                service = msgspec.convert(found, _Service)
            except msgspec.ValidationError as error:
                raise NotDone(f"the service does not describe itself: {error}") from error
            if service.issuer != self._settings.issuer:
                raise NotDone("the service names itself otherwise than cloud.yaml does")
            secure = self._settings.issuer.startswith("https://")
            if secure and not all(address.startswith("https://") for address in (
                    service.authorization_endpoint, service.token_endpoint, service.jwks_uri)):
                raise NotDone("the service names an address without TLS")
            self._service = (now, service)
        return self._service[1]

    async def _asked(self, method: str, address: str, form: dict[str, str] | None = None) -> dict[str, Any]:
        """One bounded request; redirects are not followed. NotDone where there is no good answer."""
        try:
            async with (
                httpx.AsyncClient(timeout=WITHIN_S, follow_redirects=False, trust_env=False) as http,
                http.stream(method, address, data=form, headers={"Accept": "application/json"}) as answer,
            ):
                body = bytearray()
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > ANSWER_BYTES_MAX:
                        raise NotDone("the service's answer is too long")
            found = msgspec.json.decode(bytes(body))
        except (httpx.HTTPError, httpx.InvalidURL, msgspec.DecodeError) as error:
            raise NotDone(f"the service does not answer: {type(error).__name__}") from error
        if answer.status_code != 200 or not isinstance(found, dict):
            raise NotDone(f"the service refused ({answer.status_code})")
        return found


def read_oidc_secret(settings: OidcSettings) -> str:
    """The client's secret; "" for a public client. LocalFault where its file cannot be read."""
    if not settings.client_secret_file:
        return ""
    try:
        return Path(settings.client_secret_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise LocalFault(f"the client secret in {settings.client_secret_file} cannot be read: {error}") from error


def _back(base: str) -> str:
    return f"{base}/outside/back"
