"""Keys renew by themselves: in time, when over, and when the clock is wrong; the link then loads the new one."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta

import pytest

from cloud_bridge.mqtt_link import tls_context
from device_model.clock import Now
from device_model.messages import GatewayAddress
from device_model.site import Tenancy
from edge_agent import key_renewal
from edge_agent.key_renewal import NO_CHECK_TIME, keep_keys, why_renew
from provisioning.authority import Authority
from provisioning.claim_box import Renewed
from provisioning.commands import enrol_into

DAY_US = 86_400_000_000
ADDRESS = GatewayAddress(Tenancy("a", "b", "c", "d"), "gw-1")
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def us(at: datetime) -> int:
    return round(at.timestamp() * 1e6)


@pytest.mark.parametrize(("at", "why"), [
    (NOW, ""), (NOW + timedelta(days=15), ""),
    (NOW + timedelta(days=21), "third"), (NOW + timedelta(days=31), "over"),
    (datetime(1970, 1, 1, tzinfo=UTC), "not begun"), (NOW - timedelta(days=365), "not begun"),
    (NOW + timedelta(days=365), "over")])
def test_when_a_certificate_is_renewed(tmp_path, at, why):
    keys = enrol_into(Authority.open(tmp_path / "ca", now=lambda: NOW), ADDRESS, tmp_path)
    said = why_renew(keys.certificate_file.read_bytes(), us(at))
    assert why in said and bool(said) == bool(why)


class TurnedClock:
    def __init__(self, wall_us: int) -> None:
        self.wall_us, self.slept = wall_us, 0

    def now(self) -> Now:
        return Now(0, self.wall_us, 0)

    async def sleep(self, seconds: float) -> None:
        self.slept += 1
        if self.slept > 1:
            await asyncio.Event().wait()
        await asyncio.sleep(0)


@pytest.mark.parametrize("off", [timedelta(days=-365), timedelta(days=365), timedelta(days=-20000)])
async def test_a_wrong_clock_leaves_the_dates_to_the_authority(tmp_path, monkeypatch, off):
    keys = enrol_into(Authority.open(tmp_path / "ca", now=lambda: NOW), ADDRESS, tmp_path)
    context = tls_context(str(keys.ca_file), str(keys.certificate_file), str(keys.key_file))
    asked: list[int] = []

    class Box(key_renewal.ClaimBox):
        def renew(self) -> Renewed:
            asked.append(1)
            if len(asked) == 1 and off.days < 0:
                raise OSError("not yet")
            return Renewed(us(NOW), us(NOW) - us(NOW + off), us(NOW + timedelta(days=30)))

    monkeypatch.setattr(key_renewal, "ClaimBox", Box)
    running = asyncio.ensure_future(keep_keys(tmp_path, context, TurnedClock(us(NOW + off))))
    async with asyncio.timeout(60):
        while len(asked) < 2:
            await asyncio.sleep(0.01)
        while not context.verify_flags & NO_CHECK_TIME:  # the thread that asked has answered, and the task took it
            await asyncio.sleep(0.01)
    running.cancel()
    assert context.check_hostname and context.verify_mode is ssl.CERT_REQUIRED
    key_renewal.trust_time(context, Renewed(us(NOW), 0, 0))
    assert not context.verify_flags & NO_CHECK_TIME, "once the clocks agree, dates are judged again"
