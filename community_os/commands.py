"""Plain functions behind `tocsin cloud …` (I/O)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import structlog

from community_os.settings_source import read_settings
from device_model.errors import LocalFault
from provisioning.commands import enrol_gateway as enrol


def run_cloud(config: Path | None, role: str) -> None:
    """Run a role (or all) until it is told to stop."""
    from community_os.app import ROLES, run_role

    if role not in (*ROLES, "all"):
        raise LocalFault(f"there is no role {role!r}: one of all, {', '.join(ROLES)}")
    _log_to_stderr()
    settings = read_settings(config)
    if role in ("all", "worker"):
        from community_os.site_files import read_sites

        read_sites(settings)  # a wrong site file is said at once, not by a worker that restarts for ever
    if role in ("all", "web"):
        from community_os.map_service import read_base_map

        read_base_map(settings.map)
    arguments = [sys.executable, "-m", "tocsin", "cloud", "run"]
    if config is not None:
        arguments += ["--config", str(config.resolve())]
    run_role(settings, role, arguments)


def enrol_gateway(config: Path | None, path: str, gateway: str, out: Path) -> None:
    """Make key and certificate of a gateway; a running broker lets it in within a second."""
    try:
        keys = enrol(Path(read_settings(config).authority_folder), path, gateway, out)
    except ValueError as error:
        raise LocalFault(f"{path!r} is not city/district/street/site: {error}") from error
    print(f"enrolled {path}/{gateway}\n  key_file: {keys.key_file}\n  certificate_file: {keys.certificate_file}\n"
          f"  ca_file: {keys.ca_file}")


class NoticeReport(msgspec.Struct, frozen=True):
    """Notices of one state, newest first."""

    status: str
    notices: tuple[dict[str, Any], ...]

    def text(self) -> str:
        """For people."""
        lines = [f"{n['id']}  {n['kind']:<12} to {n['endpoint']}, {n['attempts']} tries, {n['path']} {n['reason']}"
                 for n in self.notices]
        return "\n".join([*lines, f"{len(self.notices)} {self.status}"])


def notices_of(config: Path | None, status: str, again: str) -> NoticeReport:
    """What is waiting, sent or given up; `again`: try a dead one again. LocalFault where there is none."""
    import time

    from community_os.notice_store import NoticeStatus, NoticeStore
    from community_os.store_opening import open_store

    if status not in list(NoticeStatus):
        raise LocalFault(f"{status!r} is no state of a notice: one of {', '.join(NoticeStatus)}")
    store = open_store(read_settings(config))
    try:
        notices = NoticeStore(store)
        if again and not notices.again(again, time.time_ns() // 1000):
            raise LocalFault(f"there is no dead notice {again!r}")
        found = notices.listed(NoticeStatus(status))
    finally:
        store.close()
    return NoticeReport(status, tuple(
        {**{k: v for k, v in msgspec.to_builtins(n).items() if k != "body"}, "event": msgspec.json.decode(n.body)}
        for n in found))


class SeriesReport(msgspec.Struct, frozen=True):
    """How far the time series have come. kept: sequence of the stream that is stored; servers: one line each;
    refused: what they will never take, newest first."""

    kept: int
    servers: tuple[dict[str, Any], ...]
    refused: tuple[dict[str, Any], ...]

    def text(self) -> str:
        """For people."""
        lines = [f"kept up to message {self.kept} of the stream"]
        lines += [f"{s['remote']}: {s['waiting']} wait, {s['lost']} lost by age or quota, {s['refused']} refused"
                  for s in self.servers]
        lines += [f"refused by {r['remote']}: {r['point']} of {r['site']}: {r['why']}" for r in self.refused]
        return "\n".join(lines)


def series_of(config: Path | None, limit: int = 20) -> SeriesReport:
    """State of the time series and their servers. LocalFault where none are kept yet."""
    import asyncio

    from cloud_bridge.sqlite_series import SqliteSeries
    from community_os.series_keeper import MARK

    settings = read_settings(config)
    if not Path(settings.own_series.path).exists():
        raise LocalFault(f"{settings.own_series.path}: no series are kept yet; start them with `tocsin cloud run`")

    async def look() -> SeriesReport:
        file = SqliteSeries(settings.own_series)
        try:
            return SeriesReport(
                await file.mark(MARK),
                tuple([msgspec.to_builtins(await file.place(one.id)) for one in settings.series.remotes]),
                tuple({"remote": remote, "at_us": at_us, "site": one.sample.site, "point": one.sample.point,
                       "why": one.why} for remote, at_us, one in await file.refused("", limit)))
        finally:
            await file.close()

    return asyncio.run(look())


def figures_of(config: Path | None, what: str, scope: str, days: float, operators: int = 1) -> Any:
    """A report: "impairments", "quality" or "load", of the last so many days. LocalFault where it cannot be had."""
    import time

    from community_os import figures
    from community_os.site_files import read_sites
    from community_os.store_opening import open_store

    settings, now_us = read_settings(config), time.time_ns() // 1000
    from_us = now_us - round(days * figures.DAY_US)
    store = open_store(settings)
    try:
        if what == "impairments":
            return figures.impairment_register(store, scope, now_us)
        if what == "inspections":
            return figures.open_inspections(store, scope)
        if what == "load":
            return figures.people_load(store, scope, from_us, now_us, operators)
        sites = {path: setup.inventory for path, setup in read_sites(settings).items()}
        return figures.rule_quality(store, sites, scope, from_us, now_us)
    except ValueError as error:
        raise LocalFault(str(error)) from error
    finally:
        store.close()


def make_key(out: Path, kind: str) -> str:
    """Write a new key of an endpoint, readable by us alone; returns what the receiver needs. LocalFault."""
    import base64
    import os

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    secret = os.urandom(32)
    prefix = {"hmac": "whsec_", "ed25519": "whsk_"}.get(kind)
    if prefix is None:
        raise LocalFault(f"{kind!r} is no kind of key: hmac or ed25519")
    text = prefix + base64.b64encode(secret).decode()
    try:
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text + "\n")
    except OSError as error:
        raise LocalFault(f"{out}: {error.strerror}; an existing key is never overwritten") from error
    if kind == "hmac":
        return f"secret for the receiver: {text}"
    public = Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    return f"public key for the receiver: whpk_{base64.b64encode(public).decode()}"


def _log_to_stderr() -> None:
    """One line an event, for people and for journald."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level, structlog.processors.TimeStamper("iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], drop_missing=True),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
