"""Profile: what a device model is, as data. A new device is a profile and a hand-checked transcript, no code.

The structs are what the rest of the product sees; `profile_file.py` makes them from YAML and reports every
error with file, line and remedy. `profiles/*.yaml` are the shipped ones.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Certainty(StrEnum):
    """How sure the source is: A the maker's manual, B a driver used on hardware, C an unchecked transcription.

    Points of certainty C are refused for interlocks and fire rules.
    """

    A = "A"
    B = "B"
    C = "C"


class DeviceClass(StrEnum):
    """What kind of thing it is; decides the icon, the walk test and whether a line is fire-class."""

    SMOKE = "smoke"
    HEAT = "heat"
    CALL_POINT = "call_point"
    FIRE_PANEL = "fire_panel"
    CO = "co"
    GAS = "gas"
    CLIMATE = "climate"
    AIR = "air"
    LEAK = "leak"
    LEVEL = "level"
    PRESSURE = "pressure"
    WATER_METER = "water_meter"
    POWER_METER = "power_meter"
    BATTERY = "battery"
    CHARGER = "charger"
    UPS = "ups"
    IO_MODULE = "io_module"
    VALVE = "valve"
    PUMP = "pump"  # a pump, fan or drive and its controller: watched, never driven
    SOUNDER = "sounder"
    DOOR = "door"
    CAMERA = "camera"


FIRE_CLASSES: frozenset[DeviceClass] = frozenset(
    {DeviceClass.SMOKE, DeviceClass.HEAT, DeviceClass.CALL_POINT, DeviceClass.FIRE_PANEL, DeviceClass.CO,
     DeviceClass.GAS}
)


class Table(StrEnum):
    """The four Modbus tables and the files beside them, with the function code that reads each."""

    COIL = "coil"  # FC 1
    DISCRETE_INPUT = "discrete_input"  # FC 2
    HOLDING = "holding"  # FC 3
    INPUT = "input"  # FC 4
    FILE = "file"  # FC 20, written by FC 21; `address` is the record, `file` names the file


READ_FUNCTION: dict[Table, int] = {
    Table.COIL: 1, Table.DISCRETE_INPUT: 2, Table.HOLDING: 3, Table.INPUT: 4, Table.FILE: 20,
}
RECORD_MAX = 9999  # the highest record of a file (MODBUS Application Protocol V1.1b3, 6.14)


class RegisterType(StrEnum):
    """How the bits of a register block make a number."""

    BIT = "bit"  # a coil or discrete input; or one bit of a register with `bit:`
    U8_LOW = "u8_low"
    U8_HIGH = "u8_high"
    S8_LOW = "s8_low"
    U16 = "u16"
    S16 = "s16"
    U32 = "u32"
    S32 = "s32"
    U64 = "u64"
    S64 = "s64"
    F32 = "f32"
    F64 = "f64"


REGISTER_COUNT: dict[RegisterType, int] = {
    RegisterType.BIT: 1, RegisterType.U8_LOW: 1, RegisterType.U8_HIGH: 1, RegisterType.S8_LOW: 1,
    RegisterType.U16: 1, RegisterType.S16: 1, RegisterType.U32: 2, RegisterType.S32: 2, RegisterType.F32: 2,
    RegisterType.U64: 4, RegisterType.S64: 4, RegisterType.F64: 4,
}


class WordOrder(StrEnum):
    """Order of the 16-bit words of a wider value; bytes within a word are big-endian unless `byte_swap`."""

    HIGH_FIRST = "high_first"
    LOW_FIRST = "low_first"


class RegisterSource(msgspec.Struct, frozen=True):
    """Where a point stands in a Modbus device. Addresses are zero-based, as sent on the wire.

    A number is raw * scale + offset. `unit_register` and `scale_register` name other points of the same
    profile whose value selects the unit (`unit_codes`) or the number of decimals (`decimals_codes`; empty:
    the value itself is the number of decimals, value / 10**n). `file` is the file's number where the table is
    `file` (1 and up), `address` then counts its records.

    counter_max: the largest raw number of a counter that starts again at 0 after it (4294967295; 99999999 of a meter
    with eight digits; 0: no counter): the value goes on growing, a reset is told apart and said. counter_rate_max:
    the most raw counts a second that can be; it makes the difference sharper (0: not known).
    """

    table: Table
    address: int
    type: RegisterType = RegisterType.U16
    bit: int | None = None
    scale: float = 1.0
    offset: float = 0.0
    word_order: WordOrder = WordOrder.HIGH_FIRST
    byte_swap: bool = False
    invert: bool = False  # booleans: the wire says 0 for true
    mask: int | None = None
    shift: int = 0
    unit_point: str = ""
    unit_codes: dict[int, str] = {}
    decimals_point: str = ""
    decimals_codes: dict[int, int] = {}
    file: int = 0
    counter_max: int = 0
    counter_rate_max: float = 0.0


class PayloadSource(msgspec.Struct, frozen=True):
    """Where a point stands in an MQTT payload.

    topic: suffix below the device's base topic ("" is the base topic itself).
    path: where in the payload (`a.b[0]."c-d"`, or another JMESPath expression); "" takes the whole payload as text.
    true_values: for booleans, what counts as true (e.g. ["ON", "true", 1]); everything in `false_values` is
        false; anything else is garbled, never false.
    time_path: path of the device's own time stamp, "" if it has none; time_unit s or ms.
    pattern: a regular expression for a text payload; its group is the value. binary: the value's place in a payload
        of bytes: `u16be@3`, `s8@0`, `bit3@0` (payload_rules.py).
    """

    topic: str = ""
    path: str = ""
    scale: float = 1.0
    offset: float = 0.0
    true_values: tuple[str, ...] = ()
    false_values: tuple[str, ...] = ()
    time_path: str = ""
    time_unit: str = "ms"
    pattern: str = ""
    binary: str = ""


class StateCode(msgspec.Struct, frozen=True):
    """What one value of a state register means for the other points of the device.

    reason: one of reading.Reason for the points listed in `affects` (all, where empty); "" means healthy.
    """

    code: int
    en: str
    zh: str
    reason: str = ""
    affects: tuple[str, ...] = ()


class ProfilePoint(msgspec.Struct, frozen=True):
    """One thing that a device measures, reports or lets itself be told.

    id: unique within the profile, [a-z0-9_]; the full point name is "<device>.<id>".
    minimum, maximum: what is physically possible; outside is bad (out_of_limits).
    range_minimum, range_maximum: the sensor's measuring range; at or above its end is over_range.
    error_values: raw values that mean error, after sign extension; over_range_values: raw values that mean
        saturated.
    deadband: telemetry is journaled when the value moved by more than this (canonical unit); 0 for booleans.
    natural_noise: standard deviation that a healthy sensor shows; 0 unknown. "Stuck" applies only where > 0.
    stale_after_s: without a fresh value for so long the point is silent.
    """

    id: str
    quantity: str
    unit: str
    en: str
    zh: str
    register: RegisterSource | None = None
    payload: PayloadSource | None = None
    poll_interval_s: float = 10.0
    stale_after_s: float = 30.0
    minimum: float | None = None
    maximum: float | None = None
    range_minimum: float | None = None
    range_maximum: float | None = None
    error_values: tuple[int, ...] = ()
    over_range_values: tuple[int, ...] = ()
    deadband: float = 0.0
    natural_noise: float = 0.0
    writable: bool = False
    state_codes: tuple[StateCode, ...] = ()
    certainty: Certainty = Certainty.C
    source: str = ""


class ModbusTraits(msgspec.Struct, frozen=True):
    """What a Modbus device bears.

    max_registers: largest block that one request may ask for (125 by the standard; some devices bear 1).
    min_gap_s: pause between two requests to this unit.
    reply_timeout_s: how long a reply may take; late_reply_max_s: on RTU, how much later one may still come.
    read_holes: whether addresses between two points may be read along to merge requests.
    write_function: 0 writes by the shortest that fits (FC 5, 6, 16); 16 always by the functions for several
        (FC 15, 16), for devices that lack FC 5 and 6; 23 writes registers and reads them back in one transaction,
        so that a value the device did not take is an error (coils then go by FC 5).
    dialect: "" is Modbus; "lls" is a level probe with 31/3E frames, whose reading stands in input registers 0 to 2
        (temperature, level, raw; see device_drivers/lls_link.py).
    """

    max_registers: int = 125
    max_bits: int = 2000
    min_gap_s: float = 0.0
    reply_timeout_s: float = 1.0
    late_reply_max_s: float = 1.0
    read_holes: bool = True
    write_function: int = 0
    dialect: str = ""


class MqttTraits(msgspec.Struct, frozen=True):
    """What an MQTT device does: its base topic, availability, and how often it must be heard.

    base_topic: with {device} and {address} filled from the site file.
    format: json or cbor, what a payload with paths is (text and bytes are told by the points themselves).
    template: the convention that the device follows, which then says what its topics mean and how it is lost:
        zigbee2mqtt, homeassistant, homie, chirpstack, sparkplug, aliyun-tsl, senml; "" none. See device_drivers.
    command_port: ChirpStack: the LoRaWAN port that commands go to.
    """

    base_topic: str
    availability_topic: str = ""
    available_values: tuple[str, ...] = ("online",)
    expire_after_s: float = 3600.0
    format: str = "json"
    template: str = ""
    command_port: int = 1


class PanelTraits(msgspec.Struct, frozen=True):
    """How a fire panel's transmission device (GB/T 26875.3) behaves; what the standard leaves open stands here.

    utc_offset_h: its clock against UTC. expire_after_s: not heard for so long it is silent (found practice: a
    heartbeat every 20 to 30 s; the standard fixes none). supervise_s: how often its state is asked (at most 2 h).
    asks: whether it bears queries at all. set_clock: whether its clock is set when it connects.
    """

    utc_offset_h: float = 8.0
    expire_after_s: float = 120.0
    supervise_s: float = 1800.0
    asks: bool = True
    set_clock: bool = True


class StationTraits(msgspec.Struct, frozen=True):
    """How an environment station (HJ 212) behaves. expire_after_s: not heard for so long it is silent."""

    utc_offset_h: float = 8.0
    expire_after_s: float = 300.0


class GatewayTraits(msgspec.Struct, frozen=True):
    """The gateway itself as a device. look_every_s: how often it looks at its machine."""

    look_every_s: float = 10.0


class DeviceProfile(msgspec.Struct, frozen=True):
    """A device model. Exactly one of `modbus`, `mqtt`, `gbt26875`, `hj212` and `gateway` is set."""

    id: str
    version: int
    maker: str
    model: str
    en: str
    zh: str
    device_class: DeviceClass
    certainty: Certainty
    source: str
    points: tuple[ProfilePoint, ...]
    modbus: ModbusTraits | None = None
    mqtt: MqttTraits | None = None
    gbt26875: PanelTraits | None = None
    hj212: StationTraits | None = None
    gateway: GatewayTraits | None = None
    warm_up_s: float = 0.0
    self_test_days: int = 0
    file: str = ""

    def point(self, point_id: str) -> ProfilePoint | None:
        """The point of that id, or None."""
        return next((point for point in self.points if point.id == point_id), None)

    @property
    def protocol(self) -> str:
        """"modbus", "lls", "mqtt", "gbt26875", "hj212" or "gateway": which driver reads it."""
        if self.modbus is not None:
            return self.modbus.dialect or "modbus"
        if self.gbt26875 is not None:
            return "gbt26875"
        if self.gateway is not None:
            return "gateway"
        return "hj212" if self.hj212 is not None else "mqtt"
