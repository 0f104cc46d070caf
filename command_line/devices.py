"""`tocsin devices …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from command_line.shared import AsJson

group = typer.Typer(no_args_is_help=True, help="Devices on field lines: look for them, test one.")


@group.command("scan")
def devices_scan(
    kind: Annotated[str, typer.Argument(help="tcp | rtu | mqtt")],
    target: Annotated[str, typer.Argument(help="host[:port], or the serial port")],
    config: Annotated[Path | None, typer.Option("--config", help="the site file: knows which lines are fire")] = None,
    units: Annotated[str, typer.Option(help="which units to ask")] = "1-247",
    maintenance: Annotated[bool, typer.Option("--maintenance", help="also fire lines, at full speed")] = False,
    timeout_s: Annotated[float | None, typer.Option("--timeout", help="seconds to wait for each unit")] = None,
    listen_s: Annotated[float, typer.Option("--listen", help="mqtt: seconds to listen")] = 10.0,
    all_settings: Annotated[bool, typer.Option("--all-settings", help="rtu: all speeds, even after a find")] = False,
    language: Annotated[str, typer.Option(envvar="LANG", help="zh or en")] = "en",
    as_json: AsJson = False,
) -> None:
    """Find devices and the profiles that fit. Only reads, never broadcasts; fire lines in maintenance only.

    A line of the site file whose gateway runs is read by that gateway: behind its polls, at most 5 % of the time.

    Example: tocsin devices scan rtu /dev/ttyUSB0 --units 1-32 --config site.yaml
    """
    from device_drivers.commands import scan_devices, scan_text
    from edge_agent.commands import reads_through_gateway

    report = scan_devices(kind, target, config=config, units=units, maintenance=maintenance, timeout_s=timeout_s,
                          listen_s=listen_s, all_settings=all_settings, through=reads_through_gateway)
    print(msgspec.json.encode(report).decode() if as_json else scan_text(report, language))


@group.command("test")
def devices_test(
    device: Annotated[str, typer.Argument(help="device id of the site file")],
    config: Annotated[Path, typer.Option("--config", help="the site file")],
    rounds: Annotated[int, typer.Option(min=1, max=100, help="how often each block is read")] = 3,
    language: Annotated[str, typer.Option(envvar="LANG", help="zh or en")] = "en",
    as_json: AsJson = False,
) -> None:
    """Diagnose one device: raw frames, decoded values, timing, error counts, advice. Exit code 1 when it is not well.

    Example: tocsin devices test duct-3 --config site.yaml
    """
    from device_drivers.commands import diagnose_device, diagnosis_text
    from edge_agent.commands import reads_through_gateway

    diagnosis = diagnose_device(device, config, rounds, reads_through_gateway)
    print(msgspec.json.encode(diagnosis).decode() if as_json else diagnosis_text(diagnosis, language))
    if not diagnosis.ok:
        raise typer.Exit(1)
