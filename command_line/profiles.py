"""`tocsin profile …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from command_line.shared import AsJson, Files, print_findings, print_report

group = typer.Typer(no_args_is_help=True, help="Device profiles.")


@group.command("check")
def profile_check(files: Files, as_json: AsJson = False) -> None:
    """Check device profiles: every error with file, line, what and remedy.

    Example: tocsin profile check my-detector.yaml
    """
    from device_model.commands import check_profiles

    print_findings(check_profiles, files, as_json)


@group.command("list")
def profile_list(
    device_class: Annotated[str, typer.Option("--class", help="smoke, gas, power_meter, …; all without")] = "",
    language: Annotated[str, typer.Option(envvar="LANG", help="zh or en")] = "en",
    as_json: AsJson = False,
) -> None:
    """The profiles that ship: id, class, certainty, protocol, what it is.

    Example: tocsin profile list --class smoke
    """
    from device_model.commands import list_profiles

    print_report(lambda: list_profiles(device_class, language), as_json)


@group.command("new")
def profile_new(
    out: Annotated[Path, typer.Option("--out", help="folder for NAME.yaml and NAME.txt")] = Path(),
    language: Annotated[str, typer.Option(envvar="LANG", help="zh or en")] = "en",
    from_scan: Annotated[Path | None, typer.Option("--from-scan", help="what `devices scan --json` wrote")] = None,
    unit: Annotated[int | None, typer.Option("--unit", help="which unit of that scan")] = None,
    protocol: Annotated[str | None, typer.Option(help="modbus | mqtt")] = None,
    name: Annotated[str | None, typer.Option("--id", help="short id, such as maker-model")] = None,
    maker: Annotated[str | None, typer.Option(help="who makes it")] = None,
    model: Annotated[str | None, typer.Option(help="which model")] = None,
    en: Annotated[str | None, typer.Option(help="its English name")] = None,
    zh: Annotated[str | None, typer.Option(help="its Chinese name")] = None,
    device_class: Annotated[str | None, typer.Option("--class", help="smoke, gas, power_meter, …")] = None,
    certainty: Annotated[str | None, typer.Option(help="A manual, B driver on hardware, C unchecked")] = None,
    source: Annotated[str | None, typer.Option(help="manual and page, or repository and file")] = None,
    table: Annotated[str | None, typer.Option(help="modbus: coil | discrete_input | holding | input")] = None,
    base_topic: Annotated[str | None, typer.Option(help="mqtt: its topic; {address} is the device")] = None,
    point: Annotated[list[str] | None, typer.Option(help='"temperature: {quantity: temperature, …}"')] = None,
) -> None:
    """Write a new device profile: asks what no option answers, checks every answer, overwrites nothing.

    Example: tocsin profile new --id acme-t1 --maker Acme --from-scan found.json
    """
    from device_model.commands import check_profiles, new_profile

    answers = {"protocol": protocol, "id": name, "maker": maker, "model": model, "en": en, "zh": zh,
               "device_class": device_class, "certainty": certainty, "source": source, "table": table,
               "base_topic": base_topic}
    given = {key: answer for key, answer in answers.items() if answer is not None}
    written, transcript = new_profile(out, given, point or [], language=language, from_scan=from_scan, unit=unit)
    print(f"{written}\n{transcript}")
    print_findings(check_profiles, [written], as_json=False)
