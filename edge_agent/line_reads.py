"""Line reads (I/O by its driver): single reads that a scan or a diagnosis asks of the running gateway.

    tocsin devices scan|test ──LineRead──► local control ──► LinePoller.ask: behind every poll, at most 5 % of the
                                                             line's time, through the line's one master

A bus has one master (DESIGN section 5); while the gateway runs, that is the gateway. A line that carries fire-class
devices is read for a scan only while each of them is under test or isolated by a named person (law of safety 8).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from device_drivers.driver import Driver
from device_drivers.poller import LinePoller
from device_model.errors import LawRefusal, LocalFault, PeerGarbled, PeerRefused, PeerSilent, TocsinError
from device_model.impairment import Impairment, ImpairmentKind
from device_model.inventory import Inventory
from device_model.ports import LineReply, LineRequest
from device_model.profile import FIRE_CLASSES

TIMEOUT_MAX_S = 5.0  # one asker may not hold the line for longer
_ABSENT = (ImpairmentKind.IN_TEST, ImpairmentKind.ISOLATED)


class LineRead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One read. of_device: a diagnosis of a device of the site file, which may be of fire class; else a scan."""

    line: str
    request: LineRequest
    timeout_s: float
    of_device: str = ""


class LineAnswer(msgspec.Struct, frozen=True):
    """What came back: a reply, or the kind of fault ("silent", "garbled", "refused") with exception code. took_us:
    how long the line had it, its wait behind polls apart."""

    reply: LineReply | None = None
    fault: str = ""
    detail: str = ""
    code: int = 0
    took_us: int = 0

    def reply_or_raise(self) -> LineReply:
        """The reply, or the same error as a line of one's own would raise."""
        if self.reply is not None:
            return self.reply
        if self.fault == "refused":
            raise PeerRefused(self.detail, self.code)
        raise PeerGarbled(self.detail) if self.fault == "garbled" else PeerSilent(self.detail)


async def read_line(
    asked: LineRead, inventory: Inventory, impairments: Iterable[Impairment], drivers: Mapping[str, Driver],
) -> LineAnswer:
    """Carry one read out. Raises LawRefusal for a fire line that is on duty, LocalFault for what cannot be asked."""
    _refuse(asked, inventory, impairments)
    driver = drivers.get(asked.line)
    if not isinstance(driver, LinePoller):
        polled = [name for name, one in drivers.items() if isinstance(one, LinePoller)]
        raise LocalFault(f"{asked.line} is no Modbus line of this gateway; known: {', '.join(polled) or 'none'}")
    if not 0 < asked.timeout_s <= TIMEOUT_MAX_S:
        raise LocalFault(f"a time-out of {asked.timeout_s:g} s: give more than 0 and at most {TIMEOUT_MAX_S:g}")
    took: list[int] = [0]
    try:
        reply = await driver.ask(asked.request, timeout_s=asked.timeout_s, took=took.append)
        return LineAnswer(reply, took_us=took[-1])
    except PeerRefused as refused:
        return LineAnswer(fault="refused", detail=str(refused), code=refused.code, took_us=took[-1])
    except PeerGarbled as garbled:
        return LineAnswer(fault="garbled", detail=str(garbled), took_us=took[-1])
    except LocalFault:
        raise
    except PeerSilent as silent:
        return LineAnswer(fault="silent", detail=str(silent), took_us=took[-1])
    except TocsinError as fault:
        raise LocalFault(str(fault)) from fault


def _refuse(asked: LineRead, inventory: Inventory, impairments: Iterable[Impairment]) -> None:
    known = inventory.devices.get(asked.of_device)
    if known is not None and known.line == asked.line and known.unit == asked.request.unit:
        return  # its own gateway polls it anyway: one read more of the same device takes nothing from its watch
    away = {impairment.subject for impairment in impairments if impairment.kind in _ABSENT}
    on_duty = [device.id for device in inventory.site.devices
               if device.line == asked.line and device.id not in away
               and inventory.profiles[device.profile].device_class in FIRE_CLASSES]
    if on_duty:
        raise LawRefusal(8, f"the line carries {', '.join(on_duty[:3])}: a fire line is scanned in maintenance only; "
                            "put them under test first: tocsin gateway act test DEVICE --who … --why …")
