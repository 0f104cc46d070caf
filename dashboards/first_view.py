"""What a gateway's page shows before anybody has claimed it (pure): who sets it up, its code, what happens next.

    pin ─► cloud ─► code ─► claimed ─► (the gateway runs: the page is the installer's from then on)
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from dashboards.install_view import NetworkCheck, ShownClaim

Step = Literal["pin", "cloud", "code", "claimed"]


class FirstView(msgspec.Struct, frozen=True):
    """step: what is to be done next. trouble: "" or silent, refused, fault; why: what was said of it. claim: its code
    is shown to who has signed in alone."""

    step: Step
    claim: ShownClaim
    network: tuple[NetworkCheck, ...] = ()
    trouble: str = ""
    why: str = ""


class First(Protocol):
    """What the gateway brings (edge_agent/install_first.py). It may block; LocalFault says what does not go."""

    def view(self, *, inside: bool) -> FirstView:
        """The present. inside: for somebody who has signed in."""
        ...

    def begin(self, name: str, pin: str) -> None:
        """The first person here makes a PIN; LocalFault where somebody has one."""
        ...

    def to_cloud(self, address: str) -> None:
        """Show a code for that cloud."""
        ...

    def new_code(self) -> None:
        """Throw the code away and show another."""
        ...

    def label(self) -> str:
        """The label with the code that stands, SVG."""
        ...
