"""What the site check says of the gateway's own settings: page, metrics, ways to the cloud, remote configuration."""

from __future__ import annotations

import pytest

from device_model.commands import check_sites
from device_model.library import read_site

SITE = """
site: {path: a/b/c/d, name: D}
gateway:
  id: gw-1
  %s
lines: [ {id: self, kind: gateway} ]
buildings: [ {id: b1, name: B, floors: [ {id: f1, name: F, zones: [ {id: z1, name: Z} ]} ]} ]
devices: [ {id: gw, profile: tocsin-gateway, line: self, zone: z1} ]
"""
CLOUD = "cloud: {host: c, port: 8883, ca_file: a, certificate_file: b, key_file: k, interface: eth0%s}"


@pytest.mark.parametrize("good", [
    "metrics_port: 9108", "page: {pin_file: pins.json}", "page: {host: 192.0.2.1, certificate_file: c, key_file: k}",
    CLOUD % ", spares: [{host: c, port: 8883, interface: wwan0}]", "remote_configuration: {key_file: k}",
])
def test_good_settings_and_their_paths(tmp_path, good):
    (tmp_path / "site.yaml").write_text(SITE % good, encoding="utf-8")
    assert check_sites([tmp_path / "site.yaml"]) == []
    gateway = read_site(tmp_path / "site.yaml").gateway
    if gateway.page is not None and gateway.page.pin_file:
        assert gateway.page.pin_file == str(tmp_path / "pins.json")
    if gateway.remote_configuration is not None:
        assert gateway.remote_configuration.key_file == str(tmp_path / "k")
    if gateway.cloud is not None:
        assert gateway.cloud.spares[0].name == "way wwan0"


@pytest.mark.parametrize(("bad", "what"), [
    ("metrics_port: 70000", "0..65535"), ("page: {host: 192.0.2.1}", "without TLS"), ("page: {port: 0}", "1..65535"),
    (CLOUD % ", spares: [{host: c, port: 8883, interface: eth0}]", "are the same"),
    (CLOUD % ", spares: [{host: c, port: 0}]", "1..65535"), (CLOUD % ", fail_over_s: 0", "must be positive"),
    (CLOUD % ", spares: [{host: d, port: 1}, {host: e, port: 1}, {host: f, port: 1}, {host: g, port: 1}]",
     "more than"),
    ("remote_configuration: {key_file: k, roll_back_after_s: 5}", "less than 30"),
    ("remote_configuration: {key_file: ''}", "missing"),
    (CLOUD % "" + "\n  remote_numbers: {roll_back_after_s: 5}", "less than 30"),
    ("remote_numbers: {}", "there is no cloud"),
])
def test_bad_settings_are_found(tmp_path, bad, what):
    (tmp_path / "site.yaml").write_text(SITE % bad, encoding="utf-8")
    assert [finding for finding in check_sites([tmp_path / "site.yaml"]) if what in str(finding)]


def test_there_is_one_gateway_in_a_machine(tmp_path):
    two = SITE.replace("zone: z1} ]\n", "zone: z1}, {id: gw2, profile: tocsin-gateway, line: self, zone: z1} ]\n")
    (tmp_path / "site.yaml").write_text(two % "metrics_port: 0", encoding="utf-8")
    assert [f for f in check_sites([tmp_path / "site.yaml"]) if "the gateway itself" in str(f)]
