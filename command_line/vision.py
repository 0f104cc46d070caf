"""`tocsin vision …`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from command_line import vision_learning, vision_training
from command_line.shared import AsJson, progress_line

group = typer.Typer(no_args_is_help=True, help="Cameras: hot work, flame, smoke.")


@group.command("eval")
def vision_eval(
    manifest: Annotated[
        Path, typer.Option(help="CSV: file,hot_work,flame,smoke,kind (1, 0, -1 not looked at).", show_default=False)
    ],
    images: Annotated[Path | None, typer.Option(help="The folder of the pictures.", show_default=False)] = None,
    clips: Annotated[
        Path | None, typer.Option(help="The folder of films, judged over time; manifest: onset_s,fps,synthetic too.")
    ] = None,
    scores: Annotated[Path | None, typer.Option(help="Write file,class,score of every picture here.")] = None,
    model: Annotated[
        Path | None, typer.Option(help="The card (.json) of another model than the shipped one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge a folder of labelled pictures: AUC, recall, false alarms by kind. Exit 1 when rows were unusable.

    Example: tocsin vision eval --images pictures --manifest pictures/manifest.csv --json
             tocsin vision eval --clips films --manifest films/clips.csv
    """
    if (images is None) == (clips is None):
        print("give either --images or --clips", file=sys.stderr)
        raise typer.Exit(2)
    import msgspec

    from device_drivers.vision.commands import evaluate
    from device_drivers.vision.detector import SHIPPED
    from device_model.errors import ConfigError

    try:
        report, findings = (
            evaluate(images, manifest, scores=scores, model=model or SHIPPED, progress=progress_line(as_json))
            if images is not None
            else _clips(clips, manifest, model or SHIPPED, as_json)
        )
    except ConfigError as error:
        for finding in error.findings:
            print(finding, file=sys.stderr)
        raise typer.Exit(1) from error
    print(msgspec.json.encode(report).decode() if as_json else report.text())
    for finding in findings:
        print(finding, file=sys.stderr)
    if findings:
        raise typer.Exit(1)


def _clips(clips: Path | None, manifest: Path, model: Path, as_json: bool) -> Any:
    from device_drivers.vision.clip_commands import evaluate_clips

    assert clips is not None
    return evaluate_clips(clips, manifest, model=model, progress=progress_line(as_json))


@group.command("run")
def vision_run(
    config: Annotated[Path, typer.Option("--config", help="The vision file.", show_default=False)],
    for_s: Annotated[float, typer.Option("--for", help="end after so many seconds; 0: when told")] = 0.0,
    lines: Annotated[bool, typer.Option("--lines", help="print every verdict as a line of JSON")] = False,
) -> None:
    """Watch the cameras of a site and tell its broker what they show.

    Example: tocsin vision run --config vision.yaml
    """
    from device_drivers.vision.run import run_vision

    raise typer.Exit(run_vision(config, for_s=for_s, as_lines=lines))


@group.command("fetch-detector")
def vision_fetch_detector(
    package: Annotated[Path | None, typer.Option(help="The package's file, where there is no network.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where; else TOCSIN_MODELS, or beside the model.")] = None,
) -> None:
    """Bring the person and vehicle detector here, by version and hash. Needed once; without it nobody is counted.

    Example: tocsin vision fetch-detector --package mediapipe-objectron-0.4.1675468480.tgz
    """
    from device_drivers.vision.object_detector import MODEL_SHA256, fetch
    from device_model.errors import ConfigError

    try:
        path = fetch(package, folder)
    except ConfigError as error:
        for finding in error.findings:
            print(finding, file=sys.stderr)
        raise typer.Exit(1) from error
    print(f"{path}: SHA-256 {MODEL_SHA256}")


@group.command("sweep")
def vision_sweep(
    config: Annotated[Path, typer.Option("--config", help="The vision file, with a sweep.", show_default=False)],
    once: Annotated[bool, typer.Option("--once", help="One sweep, then end; exit 1 where it was late.")] = False,
    as_json: AsJson = False,
) -> None:
    """Visit every camera of a list within the period, again and again; tell the site's broker what was seen.

    Example: tocsin vision sweep --config vision.yaml --once --json
    """
    import msgspec

    from device_drivers.vision.sweep_result import LastSweep
    from device_drivers.vision.sweep_run import run_sweeps
    from device_model.errors import ConfigError, LocalFault

    last: list[LastSweep] = []

    def told(done: LastSweep) -> None:
        last[:] = [done]
        print(msgspec.json.encode(done).decode() if as_json else done.report.text(), flush=True)

    try:
        run_sweeps(config, once=once, told=told)
    except ConfigError as error:
        for finding in error.findings:
            print(finding, file=sys.stderr)
        raise typer.Exit(1) from error
    except LocalFault as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from error
    if once and last and not last[0].kept:
        raise typer.Exit(1)


@group.command("page")
def vision_page(
    config: Annotated[Path, typer.Option("--config", help="The vision file.", show_default=False)],
    port: Annotated[int | None, typer.Option(help="another port than the file's, 0 for any free one")] = None,
) -> None:
    """Serve the cameras' page of this gateway: zones and masks drawn on a picture, the last sweep.

    Example: tocsin vision page --config vision.yaml
    """
    from device_model.errors import ConfigError, LocalFault
    from edge_agent.vision_page import serve_vision_page

    try:
        serve_vision_page(config, port=port)
    except (ConfigError, LocalFault) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from error


@group.command("pin")
def vision_pin(
    config: Annotated[Path, typer.Option("--config", help="The vision file.", show_default=False)],
    name: Annotated[str, typer.Argument(help="whose: every look and change is recorded with it")],
    remove: Annotated[bool, typer.Option("--remove", help="take the PIN away")] = False,
) -> None:
    """Set the PIN with which a person signs in on the cameras' page; what they may do stands in the vision file.

    Example: tocsin vision pin --config vision.yaml "Li Wei"
    """
    from device_model.errors import ConfigError, LocalFault
    from edge_agent.vision_page import set_vision_pin

    pin = "" if remove else typer.prompt("PIN", hide_input=True, confirmation_prompt=True)
    try:
        print(f"ok: {set_vision_pin(config, name, pin)}")
    except (ConfigError, LocalFault) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from error


@group.command("discover")
def vision_discover(
    for_s: Annotated[float, typer.Option("--for", help="listen so many seconds")] = 3.0,
    interface: Annotated[str, typer.Option(help="this machine's own address on the cameras' network")] = "",
    as_json: AsJson = False,
) -> None:
    """Ask the local network for ONVIF cameras (WS-Discovery). Sends one question and nothing else.

    Example: tocsin vision discover --interface 192.0.2.2
    """
    import msgspec

    from device_drivers.vision.onvif_discover import discover
    from device_model.errors import LocalFault

    try:
        found = discover(for_s, interface=interface)
    except LocalFault as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from error
    if as_json:
        print(msgspec.json.encode(found).decode())
        return
    for match in found:
        print(f"{match.address}  {match.name}  {match.hardware}  {match.place}  {match.urls[0]}")
    print(f"{len(found)} camera(s)" + ("" if found else ": multicast may be kept out; give --interface"))


@group.command("check")
def vision_check(config: Annotated[Path, typer.Argument(help="The vision file.", show_default=False)]) -> None:
    """Say what is wrong in a vision file.

    Example: tocsin vision check vision.yaml
    """
    from device_drivers.vision.run import print_check

    raise typer.Exit(print_check(config))


vision_learning.add(group)
vision_training.add(group)
