"""Plain functions behind `tocsin cloud …` (I/O)."""

from __future__ import annotations

import sys
from pathlib import Path

import structlog

from community_os.settings import CloudSettings, parse_cloud
from device_model.errors import LocalFault
from device_model.library import read_text
from provisioning.commands import enrol_gateway as enrol


def read_settings(config: Path | None) -> CloudSettings:
    """cloud.yaml, or safe defaults: loopback, sign-in required, no sites. Raises ConfigError, LocalFault."""
    return CloudSettings() if config is None else parse_cloud(read_text(config), str(config))


def run_cloud(config: Path | None, role: str) -> None:
    """Run a role (or all) until it is told to stop."""
    from community_os.app import ROLES, run_role

    if role not in (*ROLES, "all"):
        raise LocalFault(f"there is no role {role!r}: one of all, {', '.join(ROLES)}")
    _log_to_stderr()
    settings = read_settings(config)
    if role in ("all", "worker"):
        from community_os.app import read_sites

        read_sites(settings)  # a wrong site file is said at once, not by a worker that restarts for ever
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
