"""Law 1: no number in a site file may turn live alarms into findings about the past."""

from __future__ import annotations

import pytest

from device_model.errors import ConfigError
from device_model.library import shipped_profiles
from device_model.site_file import parse_site


@pytest.mark.parametrize(("value", "refused"), [
    ("0", True), ("0.5", True), (".nan", True), ("-1", True), ("5", False)])
def test_a_lateness_that_would_mute_live_alarms_is_refused(value: str, *, refused: bool) -> None:
    text = f"gateway: {{id: gw-1, lateness_s: {value}}}\n"
    with pytest.raises(ConfigError) as caught:
        parse_site(text, "site.yaml", shipped_profiles())
    found = [finding for finding in caught.value.findings if "lateness_s" in finding.what]
    assert bool(found) is refused, caught.value.findings
