"""What imports cannot show: the rules of the house that a machine can check (after TigerBeetle's tidy)."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "device_model", "wire_codecs", "device_drivers", "rules_engine", "cloud_bridge", "edge_agent",
    "community_os", "firmware_sim", "provisioning", "dashboards", "trial",
)

# The few files that touch the outside world. Everything else is values in, values out, `now` passed in.
# A new entry needs a reason; most new code does not belong here.
IO_FILES = {
    "edge_agent/key_renewal.py", "edge_agent/install_first.py", "dashboards/first_pages.py",
    "cloud_bridge/bound_client.py", "cloud_bridge/http_client.py", "cloud_bridge/influx.py",
    "cloud_bridge/mqtt_link.py", "cloud_bridge/quota.py", "cloud_bridge/series_feed.py",
    "cloud_bridge/sqlite_series.py", "cloud_bridge/uplink.py", "cloud_bridge/ways_link.py",
    "community_os/map_service.py", "community_os/role_broker.py", "community_os/role_ingest.py",
    "community_os/role_notify.py", "community_os/role_parts.py", "community_os/role_series.py",
    "community_os/role_web.py", "community_os/role_worker.py", "community_os/site_files.py",
    "community_os/site_stamps.py", "community_os/store_opening.py",
    "community_os/accounts.py", "community_os/app.py", "community_os/audit_book.py", "community_os/audit_desk.py",
    "community_os/board_service.py", "community_os/brigade_service.py", "community_os/brigade_store.py",
    "community_os/broker.py", "community_os/broker_refusals.py",
    "community_os/centre_link.py", "community_os/channel.py",
    "community_os/channel_commands.py", "community_os/channel_desk.py",
    "community_os/claim_service.py", "community_os/commands.py",
    "community_os/environment_desk.py", "community_os/estate_parts.py", "community_os/estate_service.py",
    "community_os/evidence_desk.py", "community_os/evidence_files.py", "community_os/evidence_keeper.py",
    "community_os/figures.py", "community_os/ingest.py", "community_os/lockout_book.py",
    "community_os/nats_link.py", "community_os/nats_stream.py",
    "community_os/notice_store.py", "community_os/notifier.py", "community_os/officer_service.py",
    "community_os/officer_store.py", "community_os/oidc.py", "community_os/pack_courier.py",
    "community_os/pack_desk.py", "community_os/pack_recordings.py",
    "community_os/people_commands.py", "community_os/people_parts.py", "community_os/place_commands.py",
    "community_os/place_shelf.py", "community_os/report_commands.py", "community_os/report_service.py",
    "community_os/series_keeper.py", "community_os/series_read.py", "community_os/sessions.py",
    "community_os/settings_source.py", "community_os/signed_robots.py",
    "community_os/site_push.py", "community_os/store.py", "community_os/walk_desk.py", "community_os/walk_shelf.py",
    "community_os/web_app.py", "community_os/worker.py",
    "dashboards/account_pages.py", "dashboards/audit_pages.py", "dashboards/brigade_pages.py",
    "dashboards/channel_pages.py",
    "dashboards/claim_pages.py", "dashboards/environment_pages.py", "dashboards/estate_pages.py",
    "dashboards/evidence_pages.py", "dashboards/grafana/push.py", "dashboards/guard.py",
    "dashboards/install_pages.py",
    "dashboards/labelling.py", "dashboards/local_deeds.py", "dashboards/local_page.py", "dashboards/map_pages.py",
    "dashboards/officer_pages.py",
    "dashboards/officer_parts.py", "dashboards/pack_pages.py", "dashboards/pin_sessions.py", "dashboards/pins.py",
    "dashboards/report_pages.py", "dashboards/server.py",
    "dashboards/walk_pages.py", "dashboards/vision_page.py", "device_drivers/commands.py",
    "device_drivers/discover.py", "device_drivers/links.py", "device_drivers/listeners.py",
    "device_drivers/lls_link.py", "device_drivers/mqtt_client.py", "device_drivers/poller.py",
    "device_drivers/sensors.py", "device_drivers/vision/burst.py", "device_drivers/vision/clip_commands.py",
    "device_drivers/vision/clips.py", "device_drivers/vision/commands.py", "device_drivers/vision/delegates.py",
    "device_drivers/vision/detector.py", "device_drivers/vision/evidence_folder.py",
    "device_drivers/vision/evidence_store.py", "device_drivers/vision/evidence_thread.py",
    "device_drivers/vision/evidence_verify.py",
    "device_drivers/vision/label_book.py", "device_drivers/vision/label_commands.py",
    "device_drivers/vision/label_desk.py", "device_drivers/vision/label_people.py",
    "device_drivers/vision/learn_commands.py", "device_drivers/vision/learn_store.py",
    "device_drivers/vision/object_detector.py", "device_drivers/vision/onvif_discover.py",
    "device_drivers/vision/picture_files.py",
    "device_drivers/vision/process.py", "device_drivers/vision/record_folder.py",
    "device_drivers/vision/record_run.py", "device_drivers/vision/recorder.py", "device_drivers/vision/run.py",
    "device_drivers/vision/sources.py", "device_drivers/vision/sweep.py", "device_drivers/vision/sweep_run.py",
    "device_drivers/vision/sweep_store.py", "device_model/child_process.py", "device_model/commands.py",
    "device_model/library.py",
    "device_model/sqlite_file.py", "device_model/system_clock.py", "edge_agent/__main__.py",
    "edge_agent/cameras_place.py", "edge_agent/clock_look.py", "edge_agent/commands.py",
    "edge_agent/compose.py", "edge_agent/doctor_commands.py", "edge_agent/evidence_part.py",
    "edge_agent/field_lines.py", "edge_agent/install_settle.py",
    "edge_agent/install_words.py", "edge_agent/installer.py", "edge_agent/journal.py",
    "edge_agent/journal_bytes.py", "edge_agent/journal_salvage.py", "edge_agent/learnt_file.py",
    "edge_agent/line_reads.py", "edge_agent/local_control.py", "edge_agent/machine.py",
    "edge_agent/matrix_commands.py", "edge_agent/metrics.py", "edge_agent/output_writer.py", "edge_agent/page.py",
    "edge_agent/permit_commands.py", "edge_agent/provision_talk.py", "edge_agent/provision_wizard.py",
    "edge_agent/remote_site.py", "edge_agent/runtime.py", "edge_agent/self_watch.py", "edge_agent/series.py",
    "edge_agent/series_commands.py", "edge_agent/series_part.py", "edge_agent/site_tap.py",
    "edge_agent/starts_file.py", "edge_agent/supervision.py", "edge_agent/vision_child.py",
    "edge_agent/vision_link.py", "edge_agent/vision_page.py", "edge_agent/waiting.py", "edge_agent/walk_courier.py",
    "edge_agent/walk_test.py",
    "firmware_sim/camera_child.py", "firmware_sim/camera_server.py", "firmware_sim/commands.py",
    "firmware_sim/conform_run.py", "firmware_sim/line_commands.py", "firmware_sim/line_tls.py",
    "firmware_sim/modbus_identity.py", "firmware_sim/modbus_ports.py", "firmware_sim/mqtt_clients.py",
    "firmware_sim/proxy.py", "firmware_sim/recorder.py", "firmware_sim/recording_folder.py",
    "firmware_sim/serve.py", "firmware_sim/session_line.py", "provisioning/authority.py",
    "provisioning/claim_box.py", "provisioning/claim_commands.py", "provisioning/claim_desk.py",
    "provisioning/commands.py", "provisioning/device_exchange.py", "provisioning/site_commands.py",
    "provisioning/page_certificate.py", "provisioning/site_versions.py", "provisioning/walk_book.py",
    "rules_engine/commands.py",
    "rules_engine/packs.py", "rules_engine/recorded/folder.py", "rules_engine/replay_commands.py",
    "rules_engine/routing_commands.py", "trial/batch_run.py", "trial/commands.py", "trial/fleet_commands.py",
    "trial/gateway_join.py",
    "trial/joined_line.py", "trial/link_model.py", "trial/page_commands.py", "trial/page_server.py",
    "trial/own_broker.py", "trial/profile_desk.py", "trial/profile_pages.py", "trial/profile_run.py",
    "trial/profile_shelf.py",
    "trial/radio_line.py", "trial/report.py", "trial/run_child.py", "trial/runs.py", "trial/scenario_files.py",
    "trial/sim_bench.py", "trial/stage.py", "trial/store_model.py", "trial/virtual_time.py",
}
IO_FOLDERS = ("community_os/migrations/",)
IO_MODULES = {
    "asyncio", "socket", "ssl", "sqlite3", "subprocess", "threading", "time", "random", "select", "selectors",
    "signal", "multiprocessing", "concurrent", "urllib", "http", "serial", "shutil", "tempfile",
}
LINES_MAX = 500


def product_files() -> list[str]:
    """Tracked and new Python files of the product packages, as paths from the root."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *(f"{p}/" for p in PACKAGES)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()
    return sorted(name for name in listing if name.endswith(".py") and (ROOT / name).exists())


FILES = product_files()
PURE = [name for name in FILES if name not in IO_FILES and not name.startswith(IO_FOLDERS)]


def tree_of(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text(encoding="utf-8"), name)


def imported(tree: ast.Module) -> set[str]:
    """Full names of all modules that a file imports at run time (imports for types only are left out)."""
    names: set[str] = set()
    skip: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            skip.update(id(child) for child in ast.walk(node))
    for node in ast.walk(tree):
        if id(node) in skip:
            continue
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def test_there_is_something_to_check() -> None:
    assert len(FILES) > 15 and len(PURE) > 10


@pytest.mark.parametrize("name", PURE)
def test_pure_files_never_reach_the_outside_world(name: str) -> None:
    names = imported(tree_of(name))
    roots = {full.partition(".")[0] for full in names}
    assert not roots & IO_MODULES, f"{name} is pure but imports {sorted(roots & IO_MODULES)}: pass values in, or " \
        "move the I/O to one of the named files in tests/test_tidy.py"
    io_modules = {io[:-3].replace("/", ".") for io in IO_FILES}
    assert not names & io_modules, f"{name} is pure but imports the I/O file {sorted(names & io_modules)}"


BANNED_CALLS = {
    "open": "files are read in the named I/O files",
    "datetime.now": "`now` is an argument",
    "datetime.utcnow": "`now` is an argument",
    "datetime.today": "`now` is an argument",
    "date.today": "`now` is an argument",
    "print": "effects or structlog say things",
    "eval": "conditions compile to closures",
    "exec": "never",
}


@pytest.mark.parametrize("name", PURE)
def test_pure_files_call_nothing_banned(name: str) -> None:
    found = [
        f"{name}:{node.lineno}: {ast.unparse(node.func)}() — {BANNED_CALLS[ast.unparse(node.func)]}"
        for node in ast.walk(tree_of(name))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in BANNED_CALLS
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", FILES)
def test_house_rules(name: str) -> None:
    tree, text = tree_of(name), (ROOT / name).read_text(encoding="utf-8")
    problems = []
    if text.strip() and not ast.get_docstring(tree):
        problems.append("no module docstring: say what the file is and why")
    if text.count("\n") > LINES_MAX:
        problems.append(f"more than {LINES_MAX} lines: one noun a file")
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            problems.append(f"line {node.lineno}: bare except")
    if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text):
        problems.append("unfinished marker: finish it, or write it in docs/STATUS.md")
    if Path(name).stem in ("utils", "util", "helpers", "common", "misc", "manager", "data"):
        problems.append("the name says nothing: name the noun")
    assert not problems, f"{name}: " + "; ".join(problems)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_has_a_readme_with_a_drawing(package: str) -> None:
    readme = (ROOT / package / "README.md").read_text(encoding="utf-8")
    assert "```" in readme and re.search(r"[│┌└►▼─]", readme), f"{package}/README.md needs a drawing"


def test_the_list_of_io_files_is_current() -> None:
    missing = sorted(name for name in IO_FILES if not (ROOT / name).exists())
    assert not missing, f"named as I/O but gone: {missing}"


def tracked_text_files() -> list[str]:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return [n for n in listing if Path(n).suffix in
            {".py", ".md", ".yaml", ".toml", ".lock", ".sh", ".html", ".css", ".txt", ".json", ""}
            and "static/vendor" not in n and (ROOT / n).is_file()]


def test_no_file_names_a_machine_or_a_registry() -> None:
    machine, registry = r"(^|[^A-Za-z0-9_.~-])/(work|farm|root)/|file://", r"https?://[^ ]*(pypi|pythonhosted|npmjs)"
    pattern = re.compile(f"{machine}|{registry}", re.M)
    found = [name for name in tracked_text_files() if name != "tests/test_tidy.py"
             and pattern.search((ROOT / name).read_text(encoding="utf-8", errors="replace"))]
    assert not found


def test_the_lock_holds_versions_and_hashes_only() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text
    pinned = re.findall(r"^([a-z0-9-]+)(\[.*\])?==\S+", text, re.M)
    assert len(pinned) > 20 and text.count("--hash=sha256:") >= len(pinned)


def test_import_linter_knows_every_pure_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    listed = next(c for c in contracts if c["name"].startswith("pure files"))["source_modules"]
    pure = [name[:-3].replace("/", ".") for name in PURE if not name.endswith("__init__.py")]
    assert sorted(listed) == sorted(pure), "run `make golden`: it lists new pure files in pyproject.toml"
