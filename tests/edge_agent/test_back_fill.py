"""What a station sends late is stored and judged as the past; the present is not touched by it."""

from __future__ import annotations

from device_model.clock import MINUTE_US, Now
from device_model.inventory import Inventory
from device_model.library import shipped_profiles
from device_model.reading import Reading, Reason
from device_model.site_file import parse_site
from edge_agent.image import ProcessImage
from tests.device_drivers.test_panel_site import SITE_FILE

NOW = Now(1_700_000_000_000_000, 1_000_000, "boot")


def reading(value: float, age_us: int) -> Reading:
    return Reading("dust.pm25", value, "ug/m3", source_time_us=NOW.wall_us - age_us, receive_time_us=NOW.wall_us,
                   mono_us=NOW.mono_us, boot=NOW.boot)


def test_a_back_filled_value_neither_replaces_the_present_nor_ends_a_silence() -> None:
    profiles = shipped_profiles()
    image = ProcessImage(Inventory(parse_site(SITE_FILE, "site.yaml", profiles), profiles), NOW)
    image.admit([reading(12.0, 0)], ("dust.pm25",), NOW)
    late = reading(900.0, 45 * MINUTE_US)
    assert image.admit([late], (), NOW) == (late,)
    latest = image.latest("dust.pm25")
    assert latest is not None and latest.value == 12.0
    image.impose(["dust.pm25"], Reason.SILENT, NOW)
    image.admit([late], (), NOW)
    assert image.is_silent("dust.pm25")
    hourly = reading(30.0, 70 * MINUTE_US)  # a period's mean is old by nature, and fresh
    image.admit([hourly], ("dust.pm25",), NOW)
    assert image.latest("dust.pm25") == hourly
