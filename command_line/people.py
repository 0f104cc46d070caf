"""`tocsin people …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from command_line.shared import AsJson, print_report

group = typer.Typer(no_args_is_help=True, help="Who may open the pages of the community OS.")

Config = Annotated[Path | None, typer.Option("--config", help="cloud.yaml")]
Name = Annotated[str, typer.Argument(help="The name to sign in with.")]
Scope = Annotated[str, typer.Option(help="city/district/street/site, or its beginning; none: everything")]


@group.command("list")
def people_list(config: Config = None, scope: Scope = "", as_json: AsJson = False) -> None:
    """Accounts with role, scope and state.

    Example: tocsin people list --scope hangzhou/yuhang --config cloud.yaml
    """
    from community_os.people_commands import people

    print_report(lambda: people(config, scope), as_json)


@group.command("add")
def people_add(
    name: Name,
    role: Annotated[str, typer.Option(help="property | contractor | resident | brigade | desk | officer | tester | "
                                           "auditor | admin")],
    scope: Scope = "", config: Config = None, as_json: AsJson = False,
) -> None:
    """A new account; prints its one-time secret this once.

    Example: tocsin people add "Wang Fang" --role property --scope hangzhou/yuhang/cangqian/riverside
    """
    from community_os.people_commands import add

    print_report(lambda: add(config, name, role, scope), as_json)


@group.command("change")
def people_change(
    name: Name, role: Annotated[str, typer.Option(help="the new role")], scope: Scope = "", config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Another role or scope, at once, also for pages that are open.

    Example: tocsin people change "Wang Fang" --role contractor --scope hangzhou/yuhang
    """
    from community_os.people_commands import change

    print_report(lambda: change(config, name, role, scope), as_json)


@group.command("disable")
def people_disable(
    name: Name, again: Annotated[bool, typer.Option("--enable", help="let in again")] = False, config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Let nobody in under this name and end its sessions.

    Example: tocsin people disable "Wang Fang" --config cloud.yaml
    """
    from community_os.people_commands import disable

    print_report(lambda: disable(config, name, not again), as_json)


@group.command("reset")
def people_reset(name: Name, config: Config = None, as_json: AsJson = False) -> None:
    """A new one-time secret; the second factor and all sessions are gone.

    Example: tocsin people reset admin --config cloud.yaml
    """
    from community_os.people_commands import reset

    print_report(lambda: reset(config, name), as_json)
