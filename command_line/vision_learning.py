"""`tocsin vision record | label | labels | learn`: a site teaches its cameras."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from command_line.shared import AsJson, print_report, progress_line

Folder = Annotated[Path, typer.Option("--folder", help="The folder of candidates, on site.")]
Heads = Annotated[Path, typer.Option("--heads", help="The folder of the site's heads, as the vision file names it.")]
By = Annotated[str, typer.Option("--by", help="Who: it is kept with what is done.")]


def add(group: typer.Typer) -> None:
    """Put the commands into the group `tocsin vision`."""
    group.command("record")(record)
    group.command("label")(label)
    group.command("labels")(labels)
    group.command("learn")(learn)


def _refused(make: Callable[[], Any]) -> Any:
    """Exit 1 with every finding on bad input."""
    from device_model.errors import ConfigError

    try:
        return make()
    except ConfigError as error:
        for finding in error.findings:
            print(finding, file=sys.stderr)
        raise typer.Exit(1) from error


def record(
    config: Annotated[Path, typer.Option("--config", help="The vision file.", show_default=False)],
    folder: Folder = Path("candidates"),
    for_s: Annotated[float, typer.Option("--for", help="end after so many seconds; 0: when told")] = 0.0,
    quota_mib: Annotated[float, typer.Option("--quota-mib", help="The folder holds no more than this.")] = 2048.0,
    pause_s: Annotated[float, typer.Option("--pause", help="seconds between clips of one kind at one camera")] = 60.0,
    sample_s: Annotated[float, typer.Option("--sample", help="seconds between plain samples of a camera")] = 1800.0,
    as_json: AsJson = False,
) -> None:
    """Keep moments worth a label: alarms, doubts, plain samples. Nothing leaves the site; masks are painted over.

    Example: tocsin vision record --config vision.yaml --folder candidates --for 86400
    """
    import signal
    import threading

    from device_drivers.vision.record_choice import RecordRule
    from device_drivers.vision.record_run import record as run

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    rule = RecordRule(pause_s=pause_s, sample_s=sample_s)
    print_report(
        lambda: run(
            config, folder, for_s=for_s, quota_mib=quota_mib, rule=rule, stop=stop, progress=progress_line(as_json)
        ),
        as_json,
    )


def label(
    folder: Folder = Path("candidates"),
    port: Annotated[int, typer.Option(help="on loopback; 0 for any free one")] = 8091,
) -> None:
    """Serve the labelling page on this machine alone (loopback): one key a label, undo, zh and en.

    Example: tocsin vision label --folder candidates     (from a desk: ssh -L 8091:127.0.0.1:8091 gateway)
    """
    import uvicorn

    from dashboards.labelling import create_labelling_app
    from device_drivers.vision.label_desk import FolderDesk

    desk = _refused(lambda: FolderDesk(folder))
    app = create_labelling_app(desk, frozenset({"127.0.0.1", "localhost", "::1"}))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    config = server.config
    config.load()
    sock = config.bind_socket()
    print(f"http://127.0.0.1:{sock.getsockname()[1]}/labelling", flush=True)
    server.run(sockets=[sock])


def labels(
    folder: Folder = Path("candidates"),
    from_incidents: Annotated[
        Path | None, typer.Option("--from-incidents", help="JSON of incidents: operators' verdicts become labels.")
    ] = None,
    evidence: Annotated[
        Path | None, typer.Option(help="The evidence folder: pictures of moments that `record` did not keep.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option("--export", help="Copy labelled pictures here, people unknowable; it is logged.")
    ] = None,
    by: By = "",
    why: Annotated[str, typer.Option(help="What the export is for.")] = "",
    as_json: AsJson = False,
) -> None:
    """Count labels; take in operators' verdicts; export by a named person.

    Example: tocsin vision labels --folder candidates --from-incidents incidents.json --evidence evidence
             tocsin vision labels --folder candidates --export out --by "Li Wei" --why "training of release 4"
    """
    import msgspec

    from device_drivers.vision.label_commands import export_labels
    from device_drivers.vision.label_commands import from_incidents as take
    from device_drivers.vision.label_desk import FolderDesk

    def told(report: Any, text: str) -> None:
        print(msgspec.json.encode(report).decode() if as_json else text)

    if from_incidents is not None:
        given = _refused(lambda: take(from_incidents, folder, evidence))
        told(given, given.text())
    elif export is not None:
        from device_drivers.vision.label_people import people_blur

        line = _refused(lambda: export_labels(folder, export, by=by, why=why, blur=people_blur()))
        told(line, f"{line.clips} clips, {line.pictures} pictures to {export}, by {line.by}; made unknowable: "
             f"{line.blurred}; logged in {folder / 'exports.jsonl'}")
    else:
        counts = _refused(lambda: FolderDesk(folder)).counts()
        told(counts, f"{counts.labelled} of {counts.clips} clips labelled: hot work {counts.hot_work}, flame "
             f"{counts.flame}, smoke {counts.smoke}, none of these {counts.none}; not sure {counts.skipped}")


def learn(
    folder: Folder = Path("candidates"),
    heads: Heads = Path("heads"),
    by: By = "",
    model: Annotated[Path | None, typer.Option(help="The card of another model than the shipped one.")] = None,
    back: Annotated[bool, typer.Option("--rollback", help="Take the head in use back.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure; take nothing into use.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fit the site's own head on its labelled clips. Shows before and after on a part held back, refuses the worse.

    Exit 1 when it was refused. Needs `heads: heads` in the vision file; `tocsin vision run` takes it when it starts.

    Example: tocsin vision learn --folder candidates --heads heads --by "Li Wei"
             tocsin vision learn --heads heads --rollback --by "Li Wei"
    """
    import msgspec

    from device_drivers.vision import learn_commands
    from device_drivers.vision.detector import SHIPPED

    if back:
        gone, now = _refused(lambda: learn_commands.rollback(heads, by))
        said = {"taken_back": gone, "in_use": now}
        print(msgspec.json.encode(said).decode() if as_json else
              f"taken back: {gone[:12]}; in use: {now[:12] or 'the shipped model alone'}")
        return
    report = _refused(lambda: learn_commands.learn(
        folder, heads, by=by, model=model or SHIPPED, dry_run=dry_run, progress=progress_line(as_json)
    ))
    print(msgspec.json.encode(report).decode() if as_json else report.text())
    if report.refused:
        raise typer.Exit(1)
