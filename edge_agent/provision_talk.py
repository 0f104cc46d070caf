"""How the wizard talks (I/O): to a person at a terminal, or in JSON lines to a program."""

from __future__ import annotations

import logging
import sys

import msgspec
import structlog

from edge_agent.provision_wizard import Talk
from provisioning.claim_box import ShownCode
from provisioning.qr_label import qr_terminal


class Terminal:
    """A person. asks: whether somebody can answer."""

    def __init__(self, *, asks: bool) -> None:
        self._asks = asks and sys.stdin.isatty()

    def ask(self, question: str, default: str = "") -> str:
        """The answer, or the default."""
        if not self._asks:
            return default
        said = input(f"{question}{f' [{default}]' if default else ''}: ").strip()
        return said or default

    def say(self, step: str, text: str, **_: object) -> None:
        """One line."""
        print(f"[{step}] {text}", flush=True)

    def code(self, shown: ShownCode) -> None:
        """The code, and its QR."""
        print(f"{qr_terminal(shown.address)}\n  {shown.code}\n\n  scan with the owner's phone, or type it at "
              f"{shown.cloud}/claim\n  业主扫码，或在 {shown.cloud}/claim 输入", flush=True)


class JsonLines:
    """A program: one JSON object a line; never asks."""

    def ask(self, question: str, default: str = "") -> str:
        """The default."""
        return default

    def say(self, step: str, text: str, **more: object) -> None:
        """One object."""
        print(msgspec.json.encode({"step": step, "text": text, **more}).decode(), flush=True)

    def code(self, shown: ShownCode) -> None:
        """One object."""
        self.say("claim", "waiting", code=shown.code, address=shown.address)


def talk_of(*, as_json: bool, asks: bool) -> Talk:
    """The talk for a command; what the product logs meanwhile goes to standard error."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
                        logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    return JsonLines() if as_json else Terminal(asks=asks)
