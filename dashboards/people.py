"""Who looks at a page, and how a program lets people in: protocols only, so that pages keep no accounts."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Person(msgspec.Struct, frozen=True):
    """A signed-in person. scope: tenancy path prefix that they may see ("" for all). must_change: signed in with a
    one-time secret, which has to be replaced before anything else."""

    name: str
    role: str
    scope: str = ""
    must_change: bool = False


class Trail(Protocol):
    """The audit of people: who did what, to what, why and from where. The program brings the book."""

    def note(self, who: str, what: str, *, subject: str = "", path: str = "", why: str = "", where: str = "",
             outcome: str = "") -> None:
        """Append one record. Must not raise: a page that cannot be noted is the book's own finding."""
        ...


class NoTrail:
    """For programs without an audit: the demo, tests of pages."""

    def note(self, who: str, what: str, *, subject: str = "", path: str = "", why: str = "", where: str = "",
             outcome: str = "") -> None:
        """Nothing."""


class SignIn(Protocol):
    """What the community OS brings (accounts.py)."""

    def enter(self, name: str, secret: str) -> str | None:
        """A session cookie's value when name and secret are right, else None. Slow on purpose; counts failures."""
        ...

    def person(self, cookie: str) -> Person | None:
        """Who that session belongs to; None when unknown or over."""
        ...

    def leave(self, cookie: str) -> None:
        """End the session."""
        ...


# The demo on loopback has no accounts; every action still carries the name that the person typed.
VISITOR = Person("demo", "demo", "")
