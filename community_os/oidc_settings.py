"""Signing in by another service (OIDC): what cloud.yaml says of it (pure).

    oidc:
      name: City sign-in                      what the button says
      issuer: https://login.example.org/realm exactly as its ID tokens name it
      client_id: tocsin
      client_secret_file: oidc.secret         none: a public client, guarded by PKCE alone
      claim: groups                           dots go deeper: realm_access.roles
      grants:                                 the first that the claim holds decides; none: not let in
        - {value: fire-brigade, role: brigade, scope: hangzhou/yuhang}
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from dashboards.rights import ROLES

_SCOPE = re.compile(r"(?:[A-Za-z0-9_-]{1,40}(?:/[A-Za-z0-9_-]{1,40}){0,3})?")
_ISSUER = re.compile(r"(https?)://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(?::[0-9]{1,5})?(?:/[!-~]*)?")


class Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who has this value in the claim gets this role over this scope."""

    value: str
    role: str
    scope: str = ""


class OidcSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The service. name_claim: what people are called here."""

    name: str
    issuer: str
    client_id: str
    grants: tuple[Grant, ...]
    client_secret_file: str = ""
    claim: str = "groups"
    name_claim: str = "preferred_username"
    scopes: str = "openid profile"


def oidc_faults(settings: OidcSettings, loopback: Any) -> list[tuple[tuple[str | int, ...], str, str]]:
    """(where, what, remedy) of everything that does not fit. loopback: whether a host is this machine."""
    found: list[tuple[tuple[str | int, ...], str, str]] = []
    written = _ISSUER.fullmatch(settings.issuer)
    if written is None or not (written[1] == "https" or loopback(written[2].strip("[]"))):
        found.append((("issuer",), f"{settings.issuer!r} is no https address", "write https://…"))
    if not settings.grants:
        found.append((("grants",), "nobody is let in", "name at least one value with its role and scope"))
    if "openid" not in settings.scopes.split():
        found.append((("scopes",), "without openid there is no ID token", "scopes: openid profile"))
    for i, grant in enumerate(settings.grants):
        if grant.role not in ROLES or grant.role == "demo":
            found.append((("grants", i, "role"), f"there is no role {grant.role!r}",
                          f"one of {', '.join(role for role in ROLES if role != 'demo')}"))
        if not _SCOPE.fullmatch(grant.scope):
            found.append((("grants", i, "scope"), f"{grant.scope!r} is no scope",
                          "city/district/street/site, its beginning, or nothing for all"))
    return found


def granted(settings: OidcSettings, claims: dict[str, Any]) -> Grant | None:
    """What the claims give; None: nothing."""
    value: Any = claims
    for part in settings.claim.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    values = {value} if isinstance(value, str) else {one for one in value if isinstance(one, str)} if isinstance(
        value, list) else set()
    return next((grant for grant in settings.grants if grant.value in values), None)
