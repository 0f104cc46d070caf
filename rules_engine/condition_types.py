"""The types of the condition language, and the checked tree that compiles.

A number has a unit, always the canonical one of its quantity ("Cel", "%[LEL]", "s"); two numbers meet only in
the same unit. Rates carry "<unit>/s". A `difference` (a rise, a subtraction) has no zero point: 10 K of rise is
10 °C of rise, while 10 K of temperature is −263 °C.
"""

from __future__ import annotations

from dataclasses import dataclass

from device_model.quantities import QUANTITIES, UNIT_ALIASES, unit_display

# Bounds on what a rule author may write; a rule beyond them is a program, and belongs in several rules.
SOURCE_BYTES_MAX = 2048
DEPTH_MAX = 32
TERMS_MAX = 200
# Longer windows would need weeks of state per point; a statistic over days belongs in the time series.
WINDOW_SECONDS_MAX = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class Type:
    """kind: "bool", "number", "text" or "point" (any point, known only by its quality)."""

    kind: str
    unit: str = "1"
    difference: bool = False

    def __str__(self) -> str:
        if self.kind == "bool":
            return "true/false"
        if self.kind == "number":
            return f"a number in {unit_display(self.unit) or 'no unit'}"
        return "a text" if self.kind == "text" else "a point"


BOOL = Type("bool")
TEXT = Type("text")
ANY_POINT = Type("point")
PLAIN = Type("number")
SECONDS = Type("number", "s", True)


def type_of_quantity(name: str) -> Type:
    """What a point of that quantity holds; KeyError for a quantity that is not in the table."""
    quantity = QUANTITIES[name]
    if quantity.boolean:
        return BOOL
    return TEXT if quantity.text else Type("number", quantity.canonical)


# unit code → [(canonical code, factor, offset)]; durations are in seconds, and go first.
_TIMES = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_MEANINGS: dict[str, list[tuple[str, float, float]]] = {code: [("s", f, 0.0)] for code, f in _TIMES.items()}
for _quantity in QUANTITIES.values():
    for _unit in _quantity.units:
        _meaning = (_quantity.canonical, _unit.factor, _unit.offset)
        _entries = _MEANINGS.setdefault(_unit.code, [])
        if _meaning not in _entries:
            _entries.append(_meaning)
for _entries in _MEANINGS.values():  # a unit that is itself canonical means itself unless told otherwise; a length of
    # time is seconds first, whatever else is counted in days
    _entries.sort(key=lambda m: (m[0] != "s", m[1] != 1.0, m[2] != 0.0))

SPELLINGS: dict[str, str] = {**{code: code for code in _MEANINGS if code != "1"}, **UNIT_ALIASES}
_BY_LENGTH = sorted(SPELLINGS, key=len, reverse=True)
_PER = {"/s": 1.0, "/min": 60.0, "/h": 3600.0}


def read_unit(text: str, start: int) -> tuple[str, int] | None:
    """(UCUM code, end) of the unit that stands at `start`, or None. A rate ends in /s, /min or /h."""
    for spelling in _BY_LENGTH:
        if text.startswith(spelling, start):
            end = start + len(spelling)
            if _ends(text, end, spelling):
                for per in ("/min", "/s", "/h"):
                    if text.startswith(per, end) and _ends(text, end + len(per), per):
                        return SPELLINGS[spelling] + per, end + len(per)
                return SPELLINGS[spelling], end
    return None


def _ends(text: str, end: int, spelling: str) -> bool:
    if not (spelling[-1].isalnum() or spelling[-1] in "°³"):
        return True
    return end >= len(text) or not (text[end].isalnum() or text[end] in "_³°")


def meanings(unit: str) -> list[tuple[str, float, float]]:
    """What a unit can stand for: (canonical unit, factor, offset), the plainest first; [] if unknown."""
    found = list(_MEANINGS.get(unit, ()))
    for per, seconds in _PER.items():
        if unit.endswith(per) and not found:
            base = _MEANINGS.get(unit[: -len(per)], ())
            found = [(f"{canonical}/s", factor / seconds, 0.0) for canonical, factor, _ in base]
    return found


def canonical_number(value: float, unit: str, wanted: Type | None) -> tuple[float, Type] | None:
    """A written number as (value in the canonical unit, its type), read as `wanted` where the unit allows it;
    None where the unit cannot stand for what is wanted."""
    if unit == "1":
        if wanted is not None and wanted.unit != "1":
            return None
        return value, PLAIN
    for canonical, factor, offset in meanings(unit):
        if wanted is None or wanted.unit == canonical:
            shift = 0.0 if wanted is not None and wanted.difference else offset
            return value * factor + shift, Type("number", canonical, wanted.difference if wanted else False)
    return None


# --- the tree as written (condition_parse.py makes it) -----------------------------------------------------


@dataclass(frozen=True, slots=True)
class Written:
    """A node as written; offset into the source, for errors."""

    offset: int


@dataclass(frozen=True, slots=True)
class Literal(Written):
    """A number with its unit ("1" without), a text, or true/false."""

    value: float | str | bool
    unit: str = "1"


@dataclass(frozen=True, slots=True)
class Name(Written):
    """`value`, `param.level`, `device.head_present`."""

    text: str


@dataclass(frozen=True, slots=True)
class Call(Written):
    """`rise(value, 60 s)`, `zone.count(…)`."""

    name: str
    arguments: tuple[Written, ...]


@dataclass(frozen=True, slots=True)
class Unary(Written):
    """`!x`, `-x`."""

    operator: str
    operand: Written


@dataclass(frozen=True, slots=True)
class Binary(Written):
    """Any operator of two sides."""

    operator: str
    left: Written
    right: Written


# --- the tree as checked (condition_check.py makes it, condition_compile.py runs it) -------------------------


@dataclass(frozen=True, slots=True)
class Term:
    """A checked node: every unit agreed, every number canonical."""

    type: Type


@dataclass(frozen=True, slots=True)
class Constant(Term):
    """A number in canonical units, a text, or true/false."""

    value: float | str | bool


@dataclass(frozen=True, slots=True)
class PointRef(Term):
    """scope "value": the bound point; "device": another point of the same device, by quantity or id;
    "member": the point that an aggregate looks at; "reference": the site's reference point of that quantity (a device
    with the tag `reference`); "name": a name that the caller supplies."""

    scope: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Over(Term):
    """A function over the time of one point: rise, mean, dose …; numbers are canonical."""

    function: str
    point: PointRef
    numbers: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class About(Term):
    """What is known about a point: `reason`, `quality`, `age`; `silent` and `stuck` with seconds in `limit_s`."""

    function: str
    point: PointRef
    limit_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Lasting(Term):
    """`held(x, d)`: true without a break for d. `seen(x, d)`: true at some time within d."""

    function: str
    operand: Term
    seconds: float


@dataclass(frozen=True, slots=True)
class Several(Term):
    """`zone.any(…)`, `site.count(…)`: over all points of one quantity ("" all points) in a scope."""

    scope: str
    function: str
    quantity: str
    body: Term


@dataclass(frozen=True, slots=True)
class ClockRead(Term):
    """`local_hour`, `weekday`, `time_between`: minutes of the local day in `numbers`; dates for `on_dates`."""

    function: str
    numbers: tuple[int, ...] = ()
    dates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AirIndex(Term):
    """`aqi_cn("pm25", x)`, `aqi_us(…)`: standard "cn" or "us"; factor brings x into the table's unit."""

    standard: str
    pollutant: str
    operand: Term
    factor: float


@dataclass(frozen=True, slots=True)
class Grade(Term):
    """`grade(x, a, b, …)`: 1 below the first limit, one more for each limit passed; falling limits count what lies
    below them (dissolved oxygen)."""

    operand: Term
    limits: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Known(Term):
    """`known(x)`: whether x has a value; itself never unknown."""

    operand: Term


@dataclass(frozen=True, slots=True)
class Not(Term):
    """`!x`."""

    operand: Term


@dataclass(frozen=True, slots=True)
class Both(Term):
    """operator "&&" or "||", after Kleene."""

    operator: str
    left: Term
    right: Term


@dataclass(frozen=True, slots=True)
class Arithmetic(Term):
    """+ - * / of numbers, `abs` with right = left."""

    operator: str
    left: Term
    right: Term


@dataclass(frozen=True, slots=True)
class Compare(Term):
    """== != < <= > >=; `unit` is what both sides carry, for the text that people read."""

    operator: str
    left: Term
    right: Term


def looks_at_state_only(term: Term) -> bool:
    """Whether two members of the same reason and quality are all the same to it, at any time."""
    if isinstance(term, Both | Compare):
        return looks_at_state_only(term.left) and looks_at_state_only(term.right)
    if isinstance(term, Not):
        return looks_at_state_only(term.operand)
    if isinstance(term, About):
        return term.point.scope == "member" and (
            term.function in ("reason", "quality") or (term.function == "silent" and not term.limit_s))
    return isinstance(term, Constant)
