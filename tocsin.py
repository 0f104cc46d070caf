"""The command line: `tocsin …`. Imports are lazy, so that each command loads only the part that it runs.

Exit codes: 0 done, 1 a finding or refusal that is named on standard error, 2 wrong usage.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from command_line import (
    audit,
    cloud,
    devices,
    evidence,
    gateway,
    grafana,
    people,
    permits,
    profiles,
    provision,
    rules,
    series,
    sim,
    sites,
    vision,
)
from command_line.shared import AsJson
from device_model.errors import ConfigError, TocsinError

app = typer.Typer(
    name="tocsin", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Tocsin: edge gateway and sensing platform for community, fire, safety and environment monitoring.",
)
for name, commands in (("profile", profiles), ("site", sites), ("rules", rules), ("gateway", gateway),
                       ("cloud", cloud), ("sim", sim), ("devices", devices), ("vision", vision),
                       ("evidence", evidence), ("provision", provision), ("permit", permits), ("series", series),
                       ("grafana", grafana), ("people", people), ("audit", audit)):
    app.add_typer(commands.group, name=name)


@app.command("demo")
def demo(
    for_s: Annotated[float | None, typer.Option("--for", help="end after so many seconds of real time")] = None,
    headless: Annotated[bool, typer.Option("--headless", help="no browser, no tour")] = False,
    speed: Annotated[float, typer.Option(help="how many times faster than life")] = 10.0,
    port: Annotated[int, typer.Option(help="port of the board, 0 for any free one")] = 8080,
    keep: Annotated[Path | None, typer.Option(help="keep keys, journals and logs in this folder")] = None,
    as_json: AsJson = False,
) -> None:
    """A real recorded house fire from detectors to the brigade's board.

    Example: tocsin demo            (then open the address that it prints)
             tocsin demo --for 60 --headless --json
    """
    from demo.commands import run_demo

    raise typer.Exit(run_demo(for_s=for_s, headless=headless, speed=speed, port=port, keep=keep, as_json=as_json))


@app.command("bench", context_settings={"allow_extra_args": True, "ignore_unknown_options": True,
                                        "help_option_names": []})
def bench(context: typer.Context, name: Annotated[str, typer.Argument(help="which one; `list` names them")]) -> None:
    """Measure. Figures beside their budgets; exit code 0 when it ran, whatever the figures.

    Example: tocsin bench path --json
    """
    from bench.commands import run_bench

    raise typer.Exit(run_bench(name, context.args))


@app.command("doctor")
def doctor(
    config: Annotated[Path, typer.Option("--config", help="The site file.")] = Path("/var/lib/tocsin/site.yaml"),
    language: Annotated[str, typer.Option("--lang", help="zh or en")] = "en",
    as_json: AsJson = False,
) -> None:
    """The state of a gateway in words and what to do, running or dead; exit code 1 when something needs a person.

    Example: tocsin doctor --config /var/lib/tocsin/site.yaml --lang zh
    """
    from edge_agent.doctor_commands import report

    text, code = report(config, as_json=as_json, language=language)
    print(text)
    raise typer.Exit(code)


@app.command("version")
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    print(installed("tocsin"))


def main() -> NoReturn:
    """Entry point: known errors become one clear message, never a traceback."""
    try:
        app(standalone_mode=True)
    except ConfigError as error:
        for finding in error.findings:
            print(finding, file=sys.stderr)
        sys.exit(1)
    except TocsinError as error:
        print(f"tocsin: {error}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)


if __name__ == "__main__":
    main()
