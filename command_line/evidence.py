"""`tocsin evidence …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from command_line.shared import AsJson, print_report

group = typer.Typer(no_args_is_help=True, help="Evidence of cameras: clips, snapshots, the signed chain.")


@group.command("verify")
def evidence_verify(
    file: Annotated[Path, typer.Argument(help="The evidence folder, its chain.jsonl, or a clip in it.")],
    key: Annotated[str, typer.Option(help="The gateway's evidence key (hex), as the gateway shows it.")] = "",
    anchor: Annotated[str, typer.Option(help="number:hash that an earlier check told: the chain must hold it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Check offline that no byte was changed and nothing taken out. Exit 1 when something was.

    Example: tocsin evidence verify evidence/ --key 3f1c…
    """
    from device_drivers.vision.evidence_verify import Verification, verify

    found: list[Verification] = []

    def make() -> Verification:
        found.append(verify(file, key, anchor))
        return found[0]

    print_report(make, as_json)
    if not found[0].ok:
        raise typer.Exit(1)


@group.command("hold")
def evidence_hold(
    folder: Annotated[Path, typer.Argument(help="The evidence folder.")],
    identity: Annotated[str, typer.Argument(help="The record's or the incident's id.")],
    why: Annotated[str, typer.Option(help="Who holds it and why: it is recorded.")],
) -> None:
    """Keep evidence whatever its age, until it is released.

    Example: tocsin evidence hold evidence/ yard-1-1700000000 --why "legal hold: Li Wei, case 12"
    """
    _change(folder, identity, why)


@group.command("release")
def evidence_release(
    folder: Annotated[Path, typer.Argument(help="The evidence folder.")],
    identity: Annotated[str, typer.Argument(help="The record's or the incident's id.")],
) -> None:
    """Lift a hold: from now on its age counts.

    Example: tocsin evidence release evidence/ yard-1-1700000000
    """
    _change(folder, identity, "")


def _change(folder: Path, identity: str, why: str) -> None:
    from device_drivers.vision.evidence_folder import change_hold

    change_hold(folder, identity, why)
    print(f"{identity}: {'held: ' + why if why else 'released'}")
