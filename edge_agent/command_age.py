"""Command age: whether a command from afar still stands, as far as this gateway's clock can tell. Pure.

    expires_us, issued_us ─┐                          ┌─► past its end                       expired
    wall time and its bound┴─► too_late(command, now) ┼─► nobody can tell, and it matters    refused, with the reason
                                                      └─► stands, or harms nobody when late  carried out

A gateway without a battery boots in 1970, or at the time of its last shutdown: by such a clock nothing ever expires.
A command that switches an output is therefore carried out only when its end lies beyond the clock's whole error.
One that takes protection away (isolation, test mode) or moves a permit needs a clock that was set and does not lie
before the command itself was given. What only tells, proves or restores is welcome at any time.

Who stands on site is never judged by a clock.
"""

from __future__ import annotations

from device_model.clock import HOUR_US, MINUTE_US, SECOND_US, Now
from device_model.command import Command, CommandKind, CommandOutcome

# The cloud's clock and a gateway's may differ by this much and both be right.
SLACK_US = MINUTE_US
SWITCHES = frozenset({CommandKind.WRITE_OUTPUT})
WEAKENS = frozenset({CommandKind.ISOLATE, CommandKind.TEST_MODE, CommandKind.PERMIT})


def too_late(command: Command, now: Now) -> tuple[CommandOutcome, str] | None:
    """Why a command from afar is not carried out, for its age; None where age does not forbid it."""
    if 0 < command.expires_us < now.wall_us:
        return CommandOutcome.EXPIRED, "it came too late"
    if command.expires_us <= 0 or command.kind not in SWITCHES | WEAKENS:
        return None
    if now.wall_error_us < 0:
        return _refused("this gateway's clock has not been set since it started: nobody can tell whether the command "
                        "is over; do it on site", "网关时钟自启动后尚未校准，无法判断命令是否过期；请在现场操作")
    if command.issued_us > now.wall_us + now.wall_error_us + SLACK_US:
        return _refused("this gateway's clock lies before the time at which the command was given: it is wrong; "
                        "do it on site", "网关时钟早于命令下达时间，时钟有误；请在现场操作")
    if command.kind in SWITCHES and now.wall_us + now.wall_error_us > command.expires_us:
        error, left = _span(now.wall_error_us), _span(command.expires_us - now.wall_us)
        return _refused(f"this gateway's clock may be wrong by {error}, and the command ends in {left}: nobody can "
                        "tell whether it is over; do it on site",
                        f"网关时钟误差可达 {error}，命令剩余 {left}，无法判断是否过期；请在现场操作")
    return None


def _refused(en: str, zh: str) -> tuple[CommandOutcome, str]:
    return CommandOutcome.REFUSED, f"{en} · {zh}"


def _span(length_us: int) -> str:
    if length_us >= 2 * HOUR_US:
        return f"{length_us / HOUR_US:.0f} h"
    if length_us >= 2 * MINUTE_US:
        return f"{length_us / MINUTE_US:.0f} min"
    return f"{length_us / SECOND_US:.0f} s"
