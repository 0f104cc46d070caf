"""Commands (I/O): what `tocsin gateway …` calls."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import uvloop

from device_model.errors import ConfigError, Finding, LocalFault
from device_model.library import read_site
from device_model.ports import LineReply, LineRequest
from edge_agent.compose import Composition, configure_log, read_configuration, run_until_stopped
from edge_agent.line_reads import LineRead
from edge_agent.local_control import ACTIONS, Request, ask, socket_paths
from edge_agent.starts_file import lived_well, wait_after_crashes

READ_WITHIN_S = 120.0  # a scan waits behind every poll and takes 5 % of the line's time
RELOAD_WITHIN_S = 60.0  # a large file on a slow machine, and lines that close their ports first


def run_gateway(config: Path) -> None:
    """Run the gateway of a site until SIGTERM or Ctrl-C.

    Raises ConfigError with every finding, before anything connects; LocalFault when this machine cannot.
    """
    configure_log()
    inventory, rules, zone = read_configuration(config)
    journal = inventory.site.gateway.journal_path
    wait_after_crashes(journal)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(run_until_stopped(Composition(inventory, rules, zone, config)))
        except* LocalFault as faults:
            raise LocalFault("; ".join(str(fault) for fault in faults.exceptions)) from faults
    lived_well(journal)


def check_gateway(config: Path) -> list[Finding]:
    """Everything that is wrong with a site file, its profiles and its rules; empty when it may run."""
    try:
        read_configuration(config)
    except ConfigError as error:
        return list(error.findings)
    return []


def reload_gateway(config: Path) -> str:
    """Have the running gateway take its changed site file; returns what changed, for people.

    Raises ConfigError with every finding of the file (it is checked here first), LocalFault when no gateway answers
    or when it refuses, saying why; then the old file runs on.
    """
    inventory, _, _ = read_configuration(config)
    answer = ask(socket_paths(inventory.site.gateway.journal_path), Request("reload"), RELOAD_WITHIN_S)
    if not answer.ok:
        raise LocalFault(f"the gateway refuses the new site file, the old one runs on:\n{answer.detail}")
    return answer.detail


def act_on_site(config: Path, action: str, target: str, *, who: str = "", why: str = "", for_s: float = 0.0,
                compensating_measure: str = "") -> str:
    """Act as a named person at the gateway; returns what became of it, for people.

    action: silence, reset, on, off, test, isolate, restore, proof; or "state", which answers as JSON. Raises
    LocalFault when no gateway answers or when it refuses, saying why.
    """
    site = read_site(config)
    if action != "state" and action not in ACTIONS:
        raise LocalFault(f"{action!r} is no action; known: {', '.join(ACTIONS)}, state")
    request = Request(action, target, who, why, for_s, os.urandom(8).hex(), compensating_measure)
    answer = ask(socket_paths(site.gateway.journal_path), request)
    if answer.state is not None:
        return msgspec.json.format(msgspec.json.encode(answer.state), indent=2).decode()
    if not answer.ok:
        raise LocalFault(f"{action} {target}: {answer.detail}")
    return f"{action} {target}: {answer.result.outcome.value if answer.result else answer.detail}"


def reads_through_gateway(config: Path, line: str, of_device: str = "") -> GatewayReads | None:
    """How to read on a line whose master is the running gateway; None where no gateway runs on this site file.

    Raises LawRefusal and LocalFault when asked, as the gateway does."""
    paths = socket_paths(read_site(config).gateway.journal_path)
    try:
        ask(paths, Request("state"))
    except LocalFault:
        return None
    return GatewayReads(paths, line, of_device)


class GatewayReads:
    """`device_drivers.commands.TimedReads`: each read goes through the gateway's own schedule."""

    def __init__(self, paths: Sequence[Path], line: str, of_device: str) -> None:
        self._paths, self._line, self._of_device = tuple(paths), line, of_device
        self.took_us = 0

    async def __call__(self, request: LineRequest, timeout_s: float) -> LineReply:
        """Raises PeerSilent, PeerRefused, PeerGarbled; LocalFault when the gateway refuses, saying why."""
        wanted = Request("read", read=LineRead(self._line, request, timeout_s, self._of_device))
        answer = await asyncio.to_thread(ask, self._paths, wanted, READ_WITHIN_S)
        if answer.read is None:
            raise LocalFault(answer.detail)
        self.took_us = answer.read.took_us
        return answer.read.reply_or_raise()
