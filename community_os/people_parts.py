"""What the web server and `tocsin people` know of people (I/O): accounts, audit and the service that vouches, by the
settings."""

from __future__ import annotations

from pathlib import Path

import msgspec

from community_os.accounts import Accounts
from community_os.audit_book import AuditBook, open_audit
from community_os.audit_desk import BookDesk
from community_os.oidc import Oidc, read_oidc_secret
from community_os.settings import CloudSettings, SignInRule
from dashboards.server import PeopleParts


class People(msgspec.Struct, frozen=True):
    """accounts None: the open demo on loopback, without sign-in."""

    accounts: Accounts | None
    book: AuditBook
    pages: PeopleParts


def open_accounts(settings: CloudSettings, book: AuditBook) -> Accounts:
    """The accounts in the state folder. LocalFault where they cannot be read."""
    return Accounts(Path(settings.state) / "accounts.json", trail=book)


def open_people(settings: CloudSettings) -> People:
    """All of it; makes the first administrator. LocalFault where a file cannot be read or written."""
    book = open_audit(settings)
    if settings.sign_in is not SignInRule.REQUIRED:
        return People(None, book, PeopleParts(audit=BookDesk(book)))
    accounts = open_accounts(settings, book)
    accounts.ensure_admin()
    outside = None
    if settings.oidc is not None:
        outside = Oidc(settings.oidc, accounts, book, secret=read_oidc_secret(settings.oidc))
    return People(accounts, book, PeopleParts(accounts, outside, BookDesk(book)))
