"""What the installer's page on the gateway shows and asks (pure): structs and the protocol of the one who does it."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from device_model.site import Text


class NetworkCheck(msgspec.Struct, frozen=True):
    """One check. state: ok, doubt, bad; what, remedy: for people."""

    id: str
    state: str
    what: Text
    remedy: Text = Text("", "")


class ShownClaim(msgspec.Struct, frozen=True):
    """The claim. gateway: "" while nobody has claimed; qr: SVG."""

    gateway: str = ""
    cloud: str = ""
    code: str = ""
    left_s: float = 0.0
    qr: str = ""


class InstallLine(msgspec.Struct, frozen=True):
    """A line of the site file that can be scanned. target: host:port or the serial port."""

    id: str
    kind: str
    target: str


class InstallZone(msgspec.Struct, frozen=True):
    """Where devices can be placed. plan: address of its floor's drawing; "" where there is none."""

    id: str
    name: Text
    floor: str
    plan: str = ""
    plan_width: int = 0
    plan_height: int = 0


class InstallDevice(msgspec.Struct, frozen=True):
    """A device as it stands, with its newest value. walk: passed, running, failed, "" (not tested); kind: of its
    profile; always_real: a call point, which no test mode covers."""

    id: str
    profile: str
    kind: str
    line: str
    zone: str
    place: Text
    serial: str = ""
    plan_x: float | None = None
    plan_y: float | None = None
    value: str = ""
    quality: str = "never"
    heard_us: int = 0
    walk: str = ""
    always_real: bool = False
    testable: bool = False
    shown: Text = Text("", "")  # the newest value in words, with the point's name and unit


class InstallOutput(msgspec.Struct, frozen=True):
    """An output for the interlock test."""

    id: str
    purpose: str
    on: bool
    proof: str
    trip: bool
    tested: str = ""


class WalkStep(msgspec.Struct, frozen=True):
    """One record of a walk or interlock test. took_ms: from the reading that raised it to this page's sight;
    delivered: whether it had left for the cloud by then. result: running, arrived, missed, proved, unproved,
    failed."""

    device: str
    kind: Literal["walk", "interlock"]
    who: str
    begun_us: int
    until_us: int = 0
    result: str = "running"
    point: str = ""
    value: str = ""
    heard_us: int = 0
    took_ms: int = 0
    delivered: bool = False
    real: bool = False
    note: str = ""
    photos: tuple[str, ...] = ()
    role: str = ""  # of who tested: property, contractor
    confirmed: bool = False  # of an output: its device took the order, which is no proof that anything moved


class Accepted(msgspec.Struct, frozen=True):
    """Somebody of the property took the work over. hash: of the facts that the report then carried (acceptance.py);
    note: what they said of what is not shown to work."""

    who: str
    at_us: int
    hash: str
    note: str = ""


class InstallPerson(msgspec.Struct, frozen=True):
    """Who has a PIN here, and in which role (pin_rights.py)."""

    name: str
    role: str


class InstallVersion(msgspec.Struct, frozen=True):
    """One version of the site file."""

    number: int
    at_us: int
    who: str
    why: str


class InstallView(msgspec.Struct, frozen=True):
    """Everything."""

    site: Text
    path: str
    running: bool
    at_us: int
    claim: ShownClaim
    lines: tuple[InstallLine, ...]
    zones: tuple[InstallZone, ...]
    devices: tuple[InstallDevice, ...]
    outputs: tuple[InstallOutput, ...]
    versions: tuple[InstallVersion, ...]
    steps: tuple[WalkStep, ...]
    profiles: tuple[str, ...]
    cloud: str = "none"
    accepted: Accepted | None = None


class ScanAsk(msgspec.Struct, frozen=True):
    """What to scan."""

    kind: Literal["tcp", "rtu", "mqtt"]
    target: str
    units: str = "1-32"


class FoundMatch(msgspec.Struct, frozen=True):
    """A profile that fits."""

    profile: str
    score: float
    why: Text


class FoundDevice(msgspec.Struct, frozen=True):
    """A device that answered, as it would be added."""

    line: str
    kind: str
    target: str
    unit: int
    address: str
    says: str
    matches: tuple[FoundMatch, ...]
    known: str = ""
    suggested: str = ""
    baud: int = 0
    parity: str = ""


class Placed(msgspec.Struct, frozen=True):
    """A device as the person named and placed it."""

    id: str
    profile: str
    line: str
    zone: str
    unit: int = 0
    address: str = ""
    place_zh: str = ""
    place_en: str = ""
    serial: str = ""
    plan_x: float | None = None
    plan_y: float | None = None


class PlacedZone(msgspec.Struct, frozen=True):
    """A zone that the person made."""

    id: str
    name_zh: str
    name_en: str = ""
    building: str = "b1"
    floor: str = "f1"
    kind: str = "room"


class PlacedLine(msgspec.Struct, frozen=True):
    """A line that devices were found on. target as in a scan."""

    id: str
    kind: Literal["tcp", "rtu", "mqtt"]
    target: str
    baud: int = 0
    parity: str = ""


class SaveAsk(msgspec.Struct, frozen=True):
    """One change of the site file. dry: show the difference, write nothing."""

    devices: tuple[Placed, ...] = ()
    zones: tuple[PlacedZone, ...] = ()
    lines: tuple[PlacedLine, ...] = ()
    remove: tuple[str, ...] = ()
    why: str = ""
    dry: bool = False


class SaveAnswer(msgspec.Struct, frozen=True):
    """What became of it. findings: nothing was written."""

    written: bool
    diff: str
    findings: tuple[str, ...] = ()
    reloaded: str = ""


class Installer(Protocol):
    """What the gateway brings (edge_agent/installer.py). All of it may block; LocalFault says what does not go."""

    def network(self) -> tuple[NetworkCheck, ...]:
        """The checks, made now."""
        ...

    def view(self) -> InstallView:
        """The present."""
        ...

    def scan(self, asked: ScanAsk) -> tuple[FoundDevice, ...]:
        """Scan."""
        ...

    def save(self, asked: SaveAsk, who: str, *, may_remove: bool = True) -> SaveAnswer:
        """Change the site file, have it taken, hand it to the cloud. may_remove: whether this person may take a
        device out or give one another profile."""
        ...

    def undo(self, who: str) -> SaveAnswer:
        """One version back."""
        ...

    def difference(self, version: int) -> str:
        """What a version changed."""
        ...

    def walk(self, device: str, step: str, who: str, seconds: float, role: str = "") -> WalkStep:
        """begin, look or end the test of a device."""
        ...

    def interlock(self, output: str, step: str, who: str, role: str = "") -> WalkStep:
        """drive, look or reset an output."""
        ...

    def keep_photo(self, device: str, jpeg: bytes, who: str) -> str:
        """Keep a picture with the newest record of a device; its name."""
        ...

    def photo(self, name: str) -> bytes:
        """A picture."""
        ...

    def plan(self, floor: str) -> tuple[bytes, str]:
        """(drawing, media type) of a floor."""
        ...

    def report(self, language: str) -> bytes:
        """The acceptance report, PDF."""
        ...

    def table(self) -> str:
        """The devices as CSV."""
        ...

    def accept(self, who: str, note: str) -> Accepted:
        """The property takes the work over; a note is needed where something is not shown to work."""
        ...

    def take_table(self, text: str, who: str, dry: bool, *, may_remove: bool = True
                   ) -> tuple[SaveAnswer, tuple[str, ...]]:
        """Import devices from CSV; the errors."""
        ...
