"""The command line: `tocsin …`. Imports are lazy, so that each command loads only the part that it runs.

Exit codes: 0 done, 1 a finding or refusal that is named on standard error, 2 wrong usage.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import msgspec
import typer

from device_model.errors import ConfigError, TocsinError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from device_model.errors import Finding

app = typer.Typer(
    name="tocsin", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Tocsin: edge gateway and sensing platform for community, fire, safety and environment monitoring.",
)
profile_app = typer.Typer(no_args_is_help=True, help="Device profiles.")
site_app = typer.Typer(no_args_is_help=True, help="Site files.")
rules_app = typer.Typer(no_args_is_help=True, help="Rule packs.")
gateway_app = typer.Typer(no_args_is_help=True, help="The gateway at a site.")
cloud_app = typer.Typer(no_args_is_help=True, help="The community OS.")
devices_app = typer.Typer(no_args_is_help=True, help="Devices on field lines: look for them, test one.")
sim_app = typer.Typer(no_args_is_help=True, help="Simulated devices on real ports.")
for name, group in (("profile", profile_app), ("site", site_app), ("rules", rules_app),
                    ("gateway", gateway_app), ("cloud", cloud_app), ("sim", sim_app), ("devices", devices_app)):
    app.add_typer(group, name=name)

Files = Annotated[list[Path], typer.Argument(help="One or more files.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document for machines.")]


def _check(check: Callable[[Sequence[Path]], list[Finding]], files: list[Path], as_json: bool) -> None:
    """Run a checker over files, print every finding, and exit 1 on any."""
    findings = check(files)
    if as_json:
        print(msgspec.json.encode({"ok": not findings, "findings": findings}).decode())
    else:
        for finding in findings:
            print(finding, file=sys.stderr)
        if not findings:
            print(f"ok: {len(files)} file(s), no findings")
    if findings:
        raise typer.Exit(1)


@profile_app.command("check")
def profile_check(files: Files, as_json: AsJson = False) -> None:
    """Check device profiles: every error with file, line, what and remedy.

    Example: tocsin profile check my-detector.yaml
    """
    from device_model.commands import check_profiles

    _check(check_profiles, files, as_json)


@profile_app.command("new")
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
    _check(check_profiles, [written], as_json=False)


@site_app.command("check")
def site_check(files: Files, as_json: AsJson = False) -> None:
    """Check site files whole and offline, before anything connects.

    Example: tocsin site check examples/site/riverside.yaml
    """
    from device_model.commands import check_sites

    _check(check_sites, files, as_json)


@rules_app.command("check")
def rules_check(files: Files, as_json: AsJson = False) -> None:
    """Check rule packs: grammar, units, references, sources.

    Example: tocsin rules check rules_engine/packs/fire.yaml
    """
    from rules_engine.commands import check_rules

    _check(check_rules, files, as_json)


SetName = Annotated[str, typer.Option("--set", help="Layout of a known set, with --path; see --help of replay.")]
SetPath = Annotated[Path | None, typer.Option("--path", help="Folder of the set.")]
Readings = Annotated[Path | None, typer.Option("--readings", help="Folder with readings.*, points.csv, events.csv.")]
RuleFiles = Annotated[list[Path] | None, typer.Option("--rules", help="Rule files; none: all shipped packs.")]
FromS = Annotated[float, typer.Option("--from", help="Replay from this second of each experiment.")]
ToS = Annotated[float, typer.Option("--to", help="Replay to this second of each experiment.")]


@rules_app.command("replay")
def rules_replay(
    rules: RuleFiles = None, set_name: SetName = "", path: SetPath = None, readings: Readings = None,
    from_s: FromS = float("-inf"), to_s: ToS = float("inf"),
    fault: Annotated[str, typer.Option(help="Field fault: lost_polls, outage, error_value, stuck.")] = "",
    seed: Annotated[int, typer.Option(help="Seed of the fault.")] = 1,
    analogue: Annotated[bool, typer.Option(help="With raw detector channels (nist_smoke_alarms).")] = True,
    as_json: AsJson = False,
) -> None:
    """Run rules over recorded time: alarms, delay to what was labelled, false alarms per sensor-year.

    Example: tocsin rules replay --set nist_smoke_alarms --path recordings/nist_smoke_alarms --json
    Example: tocsin rules replay --rules my.yaml --readings recordings/our-estate
    """
    from rules_engine.replay_commands import ReplayAsked, replay

    asked = ReplayAsked(tuple(rules or ()), set_name, path, readings, from_s, to_s, fault, seed, analogue)
    _report(lambda: replay(asked, _progress(as_json)), as_json)


@rules_app.command("diff")
def rules_diff(
    rules: RuleFiles = None, set_name: SetName = "", path: SetPath = None, readings: Readings = None,
    active: Annotated[list[Path] | None, typer.Option(help="Rule files now active; none: all shipped packs.")] = None,
    from_s: FromS = float("-inf"), to_s: ToS = float("inf"), as_json: AsJson = False,
) -> None:
    """Before switching on: what changed rules would do otherwise than the active ones on recorded time.

    Example: tocsin rules diff --rules fire-new.yaml --active fire.yaml --readings recordings/our-estate
    """
    from rules_engine.replay_commands import ReplayAsked, diff

    asked = ReplayAsked(tuple(rules or ()), set_name, path, readings, from_s, to_s)
    _report(lambda: diff(asked, tuple(active or ()), _progress(as_json)), as_json)


def _report(make: Callable[[], Any], as_json: bool) -> None:
    """Print a report; exit 1 with every finding on bad input."""
    try:
        report = make()
    except ConfigError as error:
        for finding in error.findings:
            print(finding, file=sys.stderr)
        raise typer.Exit(1) from error
    print(msgspec.json.encode(report).decode() if as_json else report.text())


def _progress(as_json: bool) -> Callable[[str], None]:
    """Long work says where it is, on the error stream."""
    if as_json:
        return lambda _: None
    return lambda text: print(f"\r\x1b[K{text}", end="\r", file=sys.stderr, flush=True)


@rules_app.command("test")
def rules_test(
    files: Annotated[list[Path] | None, typer.Argument(help="*.test.yaml files; none: the shipped ones.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run the tests that stand beside rules.

    Example: tocsin rules test rules_engine/packs/fire.test.yaml
    """
    from rules_engine.commands import run_rule_tests

    report = run_rule_tests(files or None)
    print(msgspec.json.encode(report).decode() if as_json else report.text())
    if report.failed:
        raise typer.Exit(1)


@gateway_app.command("run")
def gateway_run(
    config: Annotated[Path, typer.Option("--config", help="The site file.", show_default=False)],
) -> None:
    """Run the gateway of a site.

    Example: tocsin gateway run --config /etc/tocsin/site.yaml
    """
    import os

    # In the same process, but without this command line: a gateway does not carry 10 MiB of it for years.
    os.execv(sys.executable, [sys.executable, "-m", "edge_agent", str(config)])  # noqa: S606


@gateway_app.command("reload")
def gateway_reload(
    config: Annotated[Path, typer.Option("--config", help="The site file of the running gateway.")],
) -> None:
    """Have the running gateway take its changed site file; what did not change is not touched.

    Example: tocsin gateway reload --config /etc/tocsin/site.yaml
    """
    from edge_agent.commands import reload_gateway

    print(reload_gateway(config))


@gateway_app.command("act")
def gateway_act(
    config: Annotated[Path, typer.Option("--config", help="The site file of the running gateway.")],
    action: Annotated[str, typer.Argument(help="silence | reset | test | isolate | restore | proof")],
    target: Annotated[str, typer.Argument(help="alarm, device or output id")] = "",
    who: Annotated[str, typer.Option(help="your name: it is recorded")] = "",
    why: Annotated[str, typer.Option(help="the reason: it is recorded")] = "",
    for_s: Annotated[float, typer.Option("--for", help="seconds, for test and isolate")] = 0.0,
    meanwhile: Annotated[str, typer.Option(help="the compensating measure; isolate needs it")] = "",
) -> None:
    """Act on the gateway on site, as a named person.

    Example: tocsin gateway act silence sounder-1 --who "Li Wei" --why "seen, extinguished" --config site.yaml
    """
    from edge_agent.commands import act_on_site

    print(act_on_site(config, action, target, who=who, why=why, for_s=for_s, compensating_measure=meanwhile))


@cloud_app.command("run")
def cloud_run(
    config: Annotated[Path | None, typer.Option("--config", help="cloud.yaml; none: safe defaults.")] = None,
    role: Annotated[str, typer.Option(help="all | broker | ingest | worker | web")] = "all",
) -> None:
    """Run the community OS: broker, ingest, worker and pages.

    Example: tocsin cloud run --config cloud.yaml
    """
    from community_os.commands import run_cloud

    run_cloud(config, role)


@cloud_app.command("enrol")
def cloud_enrol(
    path: Annotated[str, typer.Argument(help="city/district/street/site")],
    gateway: Annotated[str, typer.Argument(help="gateway id")],
    out: Annotated[Path, typer.Option(help="folder for key, certificate and CA")],
    config: Annotated[Path | None, typer.Option("--config", help="cloud.yaml")] = None,
) -> None:
    """Enrol a gateway by hand: make its key and certificate (the phone page comes with provisioning).

    Example: tocsin cloud enrol hangzhou/yuhang/cangqian/riverside gw-1 --out keys/
    """
    from community_os.commands import enrol_gateway

    enrol_gateway(config, path, gateway, out)


@devices_app.command("scan")
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

    Example: tocsin devices scan rtu /dev/ttyUSB0 --units 1-32 --config site.yaml
    """
    from device_drivers.commands import scan_devices, scan_text

    report = scan_devices(kind, target, config=config, units=units, maintenance=maintenance, timeout_s=timeout_s,
                          listen_s=listen_s, all_settings=all_settings)
    print(msgspec.json.encode(report).decode() if as_json else scan_text(report, language))


@devices_app.command("test")
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

    diagnosis = diagnose_device(device, config, rounds)
    print(msgspec.json.encode(diagnosis).decode() if as_json else diagnosis_text(diagnosis, language))
    if not diagnosis.ok:
        raise typer.Exit(1)


@sim_app.command("run")
def sim_run(
    scenario: Annotated[str, typer.Argument(help="scenario file, or the name of a shipped one")],
    truth: Annotated[Path | None, typer.Option(help="append what really happened to this JSONL file")] = None,
    for_s: Annotated[float | None, typer.Option("--for", help="stop after so many seconds of real time")] = None,
    ports: Annotated[bool, typer.Option("--ports", help="serve real ports instead of judging")] = False,
    seed: Annotated[int | None, typer.Option(help="another seed than the scenario's")] = None,
    without: Annotated[list[str] | None, typer.Option(help="disable this rule or output")] = None,
    prove: Annotated[bool, typer.Option("--prove", help="pass, and fail without each protection")] = False,
    report: Annotated[Path | None, typer.Option(help="write the acceptance report into this folder")] = None,
    lang: Annotated[str, typer.Option(help="language of the report: zh | en")] = "zh",
    tester: Annotated[str, typer.Option(help="the tester's name, for the report")] = "",
    as_json: AsJson = False,
) -> None:
    """Judge a scenario that names its site, in virtual time; serve one that does not on real ports.

    Exit code 0: verdict pass; 1: fail, or the scenario is wrong.

    Example: tocsin sim run flaming-room-fire --report out/
             tocsin sim run flaming-room-fire --without fire.smoke
             tocsin sim run examples/scenario/one_detector.yaml
    """
    from trial.commands import sim_run as judge_or_serve

    raise typer.Exit(judge_or_serve(
        scenario, truth=truth, for_s=for_s, ports=ports, seed=seed, disabled=without or (), proving=prove,
        report=report, language=lang, tester=tester, as_json=as_json))


@sim_app.command("list")
def sim_list(as_json: AsJson = False) -> None:
    """The shipped scenarios and what each shows.

    Example: tocsin sim list
    """
    from trial.commands import sim_list as list_scenarios

    list_scenarios(as_json=as_json)


@sim_app.command("proxy")
def sim_proxy(
    listen: Annotated[str, typer.Argument(help="host:port to listen on")],
    to: Annotated[str, typer.Argument(help="host:port to pass on to")],
    cut_after_s: Annotated[float | None, typer.Option(help="make the link bad after so many seconds")] = None,
    cut_for_s: Annotated[float, typer.Option(help="for so many seconds")] = 30.0,
    kind: Annotated[str, typer.Option(help="cut | half_open | delay | throttle")] = "cut",
) -> None:
    """A TCP link that can be made bad, to stand between a gateway and its cloud.

    Example: tocsin sim proxy 127.0.0.1:18883 127.0.0.1:8883 --cut-after-s 20 --cut-for-s 10
    """
    from firmware_sim.commands import run_proxy
    from firmware_sim.scenario import CutKind

    if kind not in list(CutKind):
        raise typer.BadParameter(f"{kind!r} is none of {', '.join(CutKind)}", param_hint="--kind")
    run_proxy(listen, to, cut_after_s=cut_after_s, cut_for_s=cut_for_s, kind=CutKind(kind))


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


@sim_app.command("record")
def sim_record(
    out: Annotated[Path, typer.Argument(help="file to write (JSON lines)")],
    listen: Annotated[str, typer.Option(help="host:port that clients connect to")] = "",
    to: Annotated[str, typer.Option(help="host:port of the server; with --serial a second port to bridge to")] = "",
    serial: Annotated[str, typer.Option(help="serial port to tap")] = "",
    baud: Annotated[int, typer.Option(help="of the serial port")] = 9600,
    mqtt: Annotated[str, typer.Option(help="mqtt://host:port to subscribe to")] = "",
    topic: Annotated[str, typer.Option(help="topic filter")] = "#",
    for_s: Annotated[float | None, typer.Option("--for", help="end after so many seconds")] = None,
) -> None:
    """Write a real line down, byte for byte, to replay it later.

    Example: tocsin sim record meter.jsonl --listen 127.0.0.1:1502 --to 192.168.1.20:502
    """
    from firmware_sim.line_commands import run_record

    run_record(out, listen=listen, to=to, serial=serial, baud=baud, mqtt=mqtt, topic=topic, duration_s=for_s)


@sim_app.command("replay")
def sim_replay(
    file: Annotated[Path, typer.Argument(help="a recorded line")],
    listen: Annotated[str, typer.Option(help="host:port: we are the recorded server")] = "",
    to: Annotated[str, typer.Option(help="host:port: we are the recorded client")] = "",
    port: Annotated[int, typer.Option(help="short for --listen 127.0.0.1:PORT")] = -1,
    speed: Annotated[float, typer.Option(help="recorded seconds per second")] = 1.0,
    for_s: Annotated[float | None, typer.Option("--for", help="end after so many seconds")] = None,
) -> None:
    """Play a recorded line again, byte for byte.

    Example: tocsin sim replay meter.jsonl --port 1502
    """
    from firmware_sim.line_commands import run_replay

    run_replay(file, listen=listen or (f"127.0.0.1:{port}" if port >= 0 else ""), to=to, speed=speed,
               duration_s=for_s)


@sim_app.command("trace")
def sim_trace(
    file: Annotated[Path, typer.Argument(help="a recorded line")],
    out: Annotated[Path, typer.Argument(help="pcapng file to write")],
    port: Annotated[int, typer.Option(help="the server's port: tells Wireshark the protocol")] = 502,
) -> None:
    """Turn a recorded line into a file that Wireshark opens.

    Example: tocsin sim trace meter.jsonl meter.pcapng
    """
    from firmware_sim.line_commands import run_trace

    run_trace(file, out, port=port)


@sim_app.command("conform")
def sim_conform(
    target: Annotated[str, typer.Argument(help="modbus:// rtu:/// gbt26875:// gbt26875-listen:// hj212:// mqtt://")],
    as_json: Annotated[bool, typer.Option("--json", help="for machines")] = False,
    listen_s: Annotated[float, typer.Option("--listen", help="seconds that an MQTT device is heard")] = 30.0,
) -> None:
    """Check a device, driver or receiver against its standard; exit 1 where something deviates.

    Example: tocsin sim conform modbus://192.168.1.20:502/1
    """
    from firmware_sim.line_commands import run_conform

    run_conform(target, as_json=as_json, listen_s=listen_s)


@sim_app.command("cameras")
def sim_cameras(
    count: Annotated[int, typer.Argument(help="how many")] = 4,
    host: Annotated[str, typer.Option(help="address to serve on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="RTSP port; 0: any free one")] = 8554,
    clips: Annotated[Path, typer.Option(help="folder for the coded pictures")] = Path("sim-clips"),
    state: Annotated[str, typer.Option(help="normal | frozen | blind | moved | dark")] = "normal",
    for_s: Annotated[float | None, typer.Option("--for", help="end after so many seconds")] = None,
) -> None:
    """Serve RTSP cameras with drawn pictures.

    Example: tocsin sim cameras 100 --port 8554
    """
    from firmware_sim.line_commands import run_cameras

    run_cameras(count, host=host, port=port, clips=clips, state=state, duration_s=for_s)


@app.command("bench", context_settings={"allow_extra_args": True, "ignore_unknown_options": True,
                                        "help_option_names": []})
def bench(context: typer.Context, name: Annotated[str, typer.Argument(help="which one; `list` names them")]) -> None:
    """Measure. Figures beside their budgets; exit code 0 when it ran, whatever the figures.

    Example: tocsin bench path --json
    """
    from bench.commands import run_bench

    raise typer.Exit(run_bench(name, context.args))


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
