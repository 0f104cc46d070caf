"""Site: the estate, firm or park that a gateway guards; places, devices, lines, outputs, people.

    site ⊃ building ⊃ floor ⊃ zone ⊃ device ⊃ point

`site_file.py` makes these from YAML; `inventory.py` resolves devices × profiles into points.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

from device_model.alarm import Hazard
from device_model.permit import PermitPolicy


class Text(msgspec.Struct, frozen=True):
    """A text for people in both languages."""

    en: str
    zh: str

    def in_language(self, language: str) -> str:
        """The text in "zh" or "en"."""
        return self.zh if language.startswith("zh") else self.en


class Tenancy(msgspec.Struct, frozen=True, order=True):
    """Where a site belongs: city/district/street/site. Every table and topic carries it.

    Each part is [a-z0-9-]{1,40}, so that it is one token in MQTT topics, NATS subjects and certificates.
    """

    city: str
    district: str
    street: str
    site: str

    @property
    def path(self) -> str:
        """ "city/district/street/site"."""
        return f"{self.city}/{self.district}/{self.street}/{self.site}"

    @staticmethod
    def of(path: str) -> Tenancy:
        """From "city/district/street/site"; ValueError where it does not have four parts."""
        city, district, street, site = path.split("/")
        return Tenancy(city, district, street, site)


class Datum(StrEnum):
    """Which datum coordinates are in; converted only at the map's edge."""

    WGS_84 = "WGS-84"
    GCJ_02 = "GCJ-02"


class Position(msgspec.Struct, frozen=True):
    """Degrees, in the stated datum."""

    latitude: float
    longitude: float
    datum: Datum


class Plan(msgspec.Struct, frozen=True):
    """A drawing of a floor: a file beside the site file, and its size in its own pixels."""

    id: str
    file: str
    width: int
    height: int


class Contact(msgspec.Struct, frozen=True):
    """Somebody to call. role: owner, key_holder, duty, micro_station, brigade, monitoring_centre."""

    name: str
    role: str
    phone: str
    note: str = ""


class Zone(msgspec.Struct, frozen=True):
    """The smallest place that alarms are grouped by: a dwelling, a shop, a staircase, a garage bay."""

    id: str
    name: Text
    building: str
    floor: str
    kind: str = "room"
    people_limit: int | None = None


class Floor(msgspec.Struct, frozen=True):
    """One storey."""

    id: str
    name: Text
    plan: Plan | None = None


class Building(msgspec.Struct, frozen=True):
    """One building of the site."""

    id: str
    name: Text
    floors: tuple[Floor, ...]
    position: Position | None = None


class LineKind(StrEnum):
    """How devices are reached."""

    MODBUS_TCP = "modbus_tcp"
    MODBUS_RTU = "modbus_rtu"
    MODBUS_RTU_TCP = "modbus_rtu_tcp"
    MODBUS_TLS = "modbus_tls"
    LLS_SERIAL = "lls_serial"  # level probes that speak LLS, on RS-485 or RS-232
    LLS_TCP = "lls_tcp"  # the same behind a serial server
    MQTT = "mqtt"
    GBT26875_TCP_SERVER = "gbt26875_tcp_server"  # fire panels' transmission devices connect to host:port here
    GBT26875_TCP_CLIENT = "gbt26875_tcp_client"  # we connect to one
    GBT26875_UDP = "gbt26875_udp"
    HJ212_TCP_SERVER = "hj212_tcp_server"  # environment stations connect to host:port here
    GATEWAY = "gateway"  # the gateway's own machine: its health as readings of a device

    @property
    def protocol(self) -> str:
        """The protocol of the profiles that this kind of line carries, as `DeviceProfile.protocol` names it."""
        return self.value.partition("_")[0]


class Line(msgspec.Struct, frozen=True):
    """One field line: a TCP endpoint, a serial port, or a broker. One master per line.

    host and port for TCP and MQTT; port_path, baud, parity, stop_bits for serial. ca_file: who signs the other
    end of a TLS line ("": whom this machine trusts); certificate_file and key_file: who this gateway is on it.
    """

    id: str
    kind: LineKind
    host: str = ""
    port: int = 0
    port_path: str = ""
    baud: int = 9600
    parity: Literal["none", "even", "odd"] = "none"
    stop_bits: int = 1
    username: str = ""
    password_file: str = ""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    reconnect_max_s: float = 30.0


class Device(msgspec.Struct, frozen=True):
    """A device in its place. unit: Modbus unit id; address: what names it on another line.

    MQTT: what stands for {address} in its topics. HJ 212: its MN. GB/T 26875.3, by what the device is:
    "889" a transmission device by its source address, decimal ("*": whichever speaks on this line);
    "889/1.1" the fire facility of system type 1, number 1 behind it;
    "889/1.1/0A000200" a component of that, by its four address bytes in the order of the wire.
    """

    id: str
    profile: str
    line: str
    zone: str
    place: Text
    unit: int = 0
    address: str = ""
    serial: str = ""
    plan_x: float | None = None
    plan_y: float | None = None
    tags: tuple[str, ...] = ()


class OutputPurpose(StrEnum):
    """What an output may be for. What is not listed here is monitor-only: the site check refuses it (law 5)."""

    SOUNDER = "sounder"
    STROBE = "strobe"
    GAS_VALVE = "gas_valve"
    WATER_VALVE_BRANCH = "water_valve_branch"  # a domestic branch only
    FAN = "fan"  # only if declared rated for the gas and zone
    CHARGER_CUT_OFF = "charger_cut_off"
    FILL_VALVE = "fill_valve"


# Words by which people would name what law 5 forbids; the site check refuses each with this reason.
FORBIDDEN_OUTPUTS: dict[str, str] = {
    "fire_pump": "fire pumps are monitor-only",
    "fire_water_valve": "fire-water valves are monitor-only",
    "smoke_control": "smoke control is monitor-only",
    "fire_door": "fire doors are monitor-only",
    "lift": "lifts are monitor-only",
    "extinguishing_release": "extinguishing releases are monitor-only",
}
# Other words for the same, as ids and tags say them; they are looked for in a part of a name, too.
FORBIDDEN_NAMES: dict[str, str] = {word: word for word in FORBIDDEN_OUTPUTS} | {
    "fire_pumps": "fire_pump", "pump_fire": "fire_pump", "jockey_pump": "fire_pump", "hydrant_pump": "fire_pump",
    "sprinkler_pump": "fire_pump", "booster_fire": "fire_pump",
    "fire_valve": "fire_water_valve", "fire_main": "fire_water_valve", "hydrant": "fire_water_valve",
    "hydrant_valve": "fire_water_valve", "sprinkler_valve": "fire_water_valve", "sprinkler": "extinguishing_release",
    "deluge": "extinguishing_release", "foam_release": "extinguishing_release",
    "gas_release": "extinguishing_release", "extinguisher": "extinguishing_release",
    "smoke_fan": "smoke_control", "smoke_exhaust": "smoke_control",
    "smoke_vent": "smoke_control", "smoke_damper": "smoke_control", "fire_damper": "smoke_control",
    "smoke_curtain": "smoke_control", "pressurisation": "smoke_control", "pressurization": "smoke_control",
    "fire_shutter": "fire_door", "fire_doors": "fire_door", "elevator": "lift", "lifts": "lift",
}


class OutputState(StrEnum):
    """What an output does by itself when power, agent or process goes (stated, never implied)."""

    ON = "on"
    OFF = "off"
    HOLD = "hold"


class Output(msgspec.Struct, frozen=True):
    """Something the gateway may switch, what for, and how it is proved.

    device, point: the writable point that drives it. zones: where it sounds or acts; empty means the site.
    hazards: raised alarms of these classes in those zones switch it on. rules: only alarms of these rules do; empty
    means every rule of those hazards. proof: an independent input
    ("device.point") that must become true within proof_within_s; without one it is "unproved".
    rated_for: what a fan is declared fit for ("II 3G Ex nA, methane, zone b1-garage"); without it no gas starts it.
    """

    id: str
    device: str
    point: str
    purpose: OutputPurpose
    hazards: tuple[Hazard, ...]
    on_power_loss: OutputState
    on_agent_death: OutputState
    on_restart: OutputState
    zones: tuple[str, ...] = ()
    proof: str = ""
    proof_within_s: float = 5.0
    restart_hold_off_s: float = 60.0
    rated_for: str = ""
    rules: tuple[str, ...] = ()


class CloudEnd(msgspec.Struct, frozen=True):
    """One more way to the cloud's broker. interface: the network interface that it goes over ("wwan0"), "" for
    whichever the machine takes; it is what tells Ethernet from cellular where both reach the same address."""

    host: str
    port: int
    interface: str = ""

    @property
    def name(self) -> str:
        """For people, in impairments and metrics: "way wwan0", "way 192.0.2.1:8883"."""
        return f"way {self.interface or f'{self.host}:{self.port}'}"


class CloudLink(msgspec.Struct, frozen=True):
    """Where the community OS is, and this gateway's keys (paths; made by provisioning or by the demo).

    spares: further ways, in the order in which they are taken when those before them fail; each is supervised also
    while it is not used. fail_over_s: the way in use is given up when it is down so long; fail_back_s: one before it
    is taken again when it is up so long.
    """

    host: str
    port: int
    ca_file: str
    certificate_file: str
    key_file: str
    interface: str = ""
    spares: tuple[CloudEnd, ...] = ()
    fail_over_s: float = 10.0
    fail_back_s: float = 120.0


class PageSettings(msgspec.Struct, frozen=True):
    """The local page (`tocsin gateway page`). host: 127.0.0.1, or an address of the LAN, then with certificate and
    key. pin_file: hashes of PINs, made by `tocsin gateway pin`; without it the page shows and nobody can act."""

    host: str = "127.0.0.1"
    port: int = 8443
    pin_file: str = ""
    certificate_file: str = ""
    key_file: str = ""


class RemoteConfiguration(msgspec.Struct, frozen=True):
    """Site files sent by the cloud. key_file: the Ed25519 public key that signs them, pinned at enrolment.
    roll_back_after_s: a change after which the cloud is not heard for so long is taken back."""

    key_file: str
    roll_back_after_s: float = 300.0


class RemoteNumbers(msgspec.Struct, frozen=True):
    """Numbers of rules, within the bounds of their packs and nothing else, sent by the cloud and signed by its
    authority (`cloud.ca_file`). roll_back_after_s: as of `RemoteConfiguration`."""

    roll_back_after_s: float = 300.0


class SeriesKind(StrEnum):
    """Which server of time series."""

    INFLUX_1 = "influxdb1"
    INFLUX_2 = "influxdb2"  # and 3, whose /api/v2/write is the same
    VICTORIA = "victoria-metrics"


class SeriesRemote(msgspec.Struct, frozen=True):
    """A server that every sample is sent to as well. database: the database (1.x) or bucket (2, 3); secret_file: one
    line, a token (2, 3) or user:password."""

    id: str
    kind: SeriesKind
    url: str
    database: str = "tocsin"
    org: str = ""
    retention_policy: str = ""
    secret_file: str = ""
    ca_file: str = ""


class SeriesSettings(msgspec.Struct, frozen=True):
    """The time series of a site. Samples are kept in a file of the gateway's own: raw and summed up over 1 min,
    15 min and 1 h, each for its days; beyond quota_mib the oldest raw samples go first. group_s: samples are written
    together so often, to spare the card; a power cut costs so much of the plots, and nothing of journal or alarms."""

    path: str = "var/series.sqlite"
    raw_days: float = 14.0
    minute_days: float = 90.0
    quarter_days: float = 730.0
    hour_days: float = 3650.0
    quota_mib: int = 1024
    group_s: float = 5.0
    remotes: tuple[SeriesRemote, ...] = ()


class VisionSettings(msgspec.Struct, frozen=True):
    """The cameras of this gateway (device_drivers/vision).

    config: its vision file. start: whether the gateway runs the vision process itself, as its child; false where a
    service of its own does. evidence: its evidence folder, whose pictures and clips go up after an alarm; empty: none
    leave the site. clips: whether clips go up as well as snapshots.
    """

    config: str
    start: bool = True
    evidence: str = ""
    clips: bool = True


class GatewaySettings(msgspec.Struct, frozen=True):
    """The gateway's own part of the site file.

    journal_path: SQLite file of the journal. journal_quota_mib: beyond it telemetry is thinned, declared.
    heartbeat_s: a message at least so often, so that silence means something.
    metered_bytes_per_day: what the uplink may carry in a day, alarms apart; 0: it is not metered.
    proof_hour: local hour of the daily proof alarm. lateness_s: how late a reading may come and still be
    judged live. metrics_port: Prometheus reads there on 127.0.0.1; 0 is off.
    """

    id: str
    journal_path: str = "var/journal.sqlite"
    journal_quota_mib: int = 512
    heartbeat_s: float = 30.0
    telemetry_heartbeat_s: float = 300.0
    proof_hour: int = 9
    lateness_s: float = 10.0
    cloud: CloudLink | None = None
    metered_bytes_per_day: int = 0
    metrics_port: int = 0
    page: PageSettings | None = None
    remote_configuration: RemoteConfiguration | None = None
    remote_numbers: RemoteNumbers | None = None
    series: SeriesSettings | None = None
    vision: VisionSettings | None = None


class RuleChoice(msgspec.Struct, frozen=True):
    """Which packs and files of rules a site runs, and its own parameters: rule id → name → value text."""

    packs: tuple[str, ...] = ("fire", "co", "gas", "gas_industrial", "water", "device")
    files: tuple[str, ...] = ()
    parameters: dict[str, dict[str, str]] = {}


class Site(msgspec.Struct, frozen=True):
    """A whole site file, checked."""

    tenancy: Tenancy
    name: Text
    gateway: GatewaySettings
    buildings: tuple[Building, ...]
    zones: tuple[Zone, ...]
    lines: tuple[Line, ...]
    devices: tuple[Device, ...]
    outputs: tuple[Output, ...] = ()
    contacts: tuple[Contact, ...] = ()
    rules: RuleChoice = RuleChoice()
    permits: PermitPolicy = PermitPolicy()
    address: Text = Text("", "")
    position: Position | None = None
    access_point: Position | None = None
    access_note: Text = Text("", "")
    time_zone: str = "Asia/Shanghai"
    unanswered_limit_s: float = 120.0  # law 1: unanswered past this, a fire enters the dispatch queue
    file: str = ""

    def zone(self, zone_id: str) -> Zone | None:
        """The zone of that id, or None."""
        return next((zone for zone in self.zones if zone.id == zone_id), None)
