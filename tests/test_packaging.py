"""The package of the gateway: built, its content and its units looked at; the install script on an empty root."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from device_model.commands import check_sites

ROOT = Path(__file__).resolve().parent.parent
PACKAGING = ROOT / "packaging"
UNITS = ("tocsin-gateway.service", "tocsin-page.service", "tocsin-vision.service")


def unit(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (PACKAGING / name).read_text(encoding="utf-8").splitlines():
        key, sign, value = line.partition("=")
        if sign and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("name", UNITS)
def test_units_have_no_rights_that_they_do_not_need(name):
    keys = unit(name)
    assert keys["User"] == ["tocsin"] and keys["CapabilityBoundingSet"] == [""] and keys["NoNewPrivileges"] == ["yes"]
    assert keys["ProtectSystem"] == ["strict"] and keys["ProtectHome"] == ["yes"] and "ReadWritePaths" not in keys
    assert keys["StateDirectory"] == ["tocsin"] and keys["Restart"] == ["always"]
    assert keys["StartLimitIntervalSec"] == ["0"], "systemd never gives a gateway up"


def test_the_gateways_unit_has_a_watchdog_that_its_feeding_fits():
    from edge_agent.compose import WATCHDOG_EVERY_S
    keys = unit("tocsin-gateway.service")
    assert keys["Type"] == ["notify"] and 10 <= float(keys["WatchdogSec"][0]) <= 30
    assert float(keys["WatchdogSec"][0]) > 2 * WATCHDOG_EVERY_S


def test_the_example_is_a_site_file_without_findings():
    assert check_sites([PACKAGING / "site-example.yaml"]) == []


def test_the_lock_of_a_gateway_is_a_small_part_of_the_whole():
    names = set(re.findall(r"(?m)^([a-z0-9-]+)(?:\[.*\])?==", builder().gateway_lock()))
    assert {"msgspec", "gmqtt", "pymodbus", "uvloop", "fastapi", "uvicorn", "starlette", "cryptography"} <= names
    assert not names & {"numpy", "pytest", "av", "playwright", "influxdb-client", "sqlalchemy", "nats-py"}


def builder():
    spec = importlib.util.spec_from_file_location("build_deb", PACKAGING / "build_deb.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.real
@pytest.mark.parametrize("name", UNITS)
def test_systemd_reads_the_units_and_finds_them_closed(name, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    shutil.copy(PACKAGING / name, tmp_path / name)
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=25", str(tmp_path / name)],
                          capture_output=True, text=True, check=False)
    exposure = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout + done.stderr)
    assert done.returncode == 0 and exposure and float(exposure[1]) <= 2.5, done.stdout[-500:]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    if shutil.which("dpkg-deb") is None or not (ROOT / ".git").exists():
        pytest.skip("dpkg-deb or the git tree is not here")
    return builder().build_deb(tmp_path_factory.mktemp("deb"))


@pytest.mark.real
def test_the_package_holds_what_a_gateway_needs_and_nothing_else(package):
    def ask(*arguments):
        return subprocess.run(["dpkg-deb", *arguments, str(package)], capture_output=True, text=True,
                              check=True).stdout

    listing = ask("--contents")
    for name in (*UNITS, "install.sh", "requirements.lock", "site-example.yaml"):
        assert f"./opt/tocsin/share/{name}" in listing
    assert re.search(r"-rwxr-xr-x root/root .*install\.sh", listing) and "usr/bin/tocsin -> /opt/tocsin" in listing
    assert not re.search(r"\./(etc|var|home)/", listing), "site files, keys and journals are never the package's"
    wheel = re.search(r"tocsin-[0-9.]+-py3-none-any\.whl", listing)
    assert wheel
    control = ask("--field")
    assert "Architecture: all" in control and "python3 (>= 3.11)" in control
    assert package.stat().st_size < 20 * 2**20


@pytest.mark.real
def test_the_wheel_in_it_has_pages_profiles_and_packs(package, tmp_path):
    import zipfile
    subprocess.run(["dpkg-deb", "--extract", str(package), str(tmp_path)], check=True)
    wheel = next((tmp_path / "opt/tocsin/share").glob("*.whl"))
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in ("edge_agent/__main__.py", "dashboards/static/local.js", "dashboards/templates/local.html",
                 "tocsin.py", "device_model/profiles/tocsin-gateway.yaml", "rules_engine/packs/fire.yaml",
                 "command_line/gateway.py"):
        assert name in names, name
    assert not [name for name in names if name.startswith("tests/")]


@pytest.mark.real
def test_the_install_script_on_an_empty_root_twice(package, tmp_path):
    subprocess.run(["dpkg-deb", "--extract", str(package), str(tmp_path / "p")], check=True)
    script, root = tmp_path / "p/opt/tocsin/share/install.sh", tmp_path / "root"
    for _ in range(2):
        subprocess.run(["sh", str(script), "--root", str(root), "--python", shutil.which("python3") or "python3"],
                       check=True, capture_output=True, env={**os.environ, "LC_ALL": "C"})
        (root / "etc/tocsin/site.yaml").write_text("mine")
    assert (root / "etc/systemd/system/tocsin-gateway.service").exists()
    assert (root / "etc/tocsin/site.yaml").read_text() == "mine", "what a person wrote stays"
    assert (root / "var/lib/tocsin").stat().st_mode & 0o777 == 0o700
