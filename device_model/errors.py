"""The error tree: by whose fault it is, and whether trying again can help.

    TocsinError
    ├── ConfigError      the person who wrote a file can mend it: file, line, what, remedy
    ├── PeerError        the other end misbehaved: device, broker, browser, cloud
    │   ├── PeerSilent   no answer in time; try again
    │   ├── PeerRefused  a well-formed refusal (Modbus exception, broker denial); trying again will not help
    │   └── PeerGarbled  bytes that do not parse or do not fit the request; try again, count it
    ├── LocalFault       this machine: disk full, port busy, missing package
    └── LawRefusal       a law of safety (DESIGN section 4) forbids what a person or rule asked for
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Finding(msgspec.Struct, frozen=True, order=True):
    """One thing wrong in a file, for people: where, what, and what to do about it.

    line and column are one-based; 0 where the whole file is meant.
    """

    file: str
    line: int
    column: int
    what: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.what} — {self.remedy}"


class TocsinError(Exception):
    """Everything that this product raises on purpose."""


class ConfigError(TocsinError):
    """One or more findings in configuration; all are reported, not the first only."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(sorted(findings))
        super().__init__("\n".join(map(str, self.findings)))


class PeerError(TocsinError):
    """The other end of a link misbehaved."""


class PeerSilent(PeerError):
    """No answer within the time-out."""


class PeerRefused(PeerError):
    """A well-formed refusal. `code` is the protocol's own (Modbus exception code, MQTT reason code)."""

    def __init__(self, what: str, code: int = 0) -> None:
        super().__init__(what)
        self.code = code


class PeerGarbled(PeerError):
    """An answer that does not parse, or that does not fit the request."""


class LocalFault(TocsinError):
    """This machine cannot do it: disk, port, permission, missing package. The text says what to do."""


class RowRefused(LocalFault):
    """The store will never take this content (a text that is too long, say): trying again is no use."""


class LawRefusal(TocsinError):
    """A law of safety forbids it. `law` is its number in DESIGN section 4."""

    def __init__(self, law: int, what: str) -> None:
        super().__init__(f"refused by law of safety {law}: {what}")
        self.law = law
        self.what = what
