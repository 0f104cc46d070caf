"""`tocsin sim …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from command_line.shared import AsJson

group = typer.Typer(no_args_is_help=True, help="Simulated devices on real ports.")


@group.command("run")
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


@group.command("list")
def sim_list(
    language: Annotated[str, typer.Option(envvar="LANG", help="zh or en")] = "en", as_json: AsJson = False,
) -> None:
    """The shipped scenarios and what each shows.

    Example: tocsin sim list --language zh
    """
    from trial.commands import sim_list as list_scenarios

    list_scenarios("zh" if language.startswith("zh") else "en", as_json=as_json)


@group.command("proxy")
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


@group.command("record")
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


@group.command("replay")
def sim_replay(
    file: Annotated[Path, typer.Argument(help="a recorded line")],
    listen: Annotated[str, typer.Option(help="host:port: we are the recorded server")] = "",
    to: Annotated[str, typer.Option(help="host:port: we are the recorded client")] = "",
    port: Annotated[int, typer.Option(max=65535, help="short for --listen 127.0.0.1:PORT")] = -1,
    speed: Annotated[float, typer.Option(help="recorded seconds per second")] = 1.0,
    for_s: Annotated[float | None, typer.Option("--for", help="end after so many seconds")] = None,
) -> None:
    """Play a recorded line again, byte for byte.

    Example: tocsin sim replay meter.jsonl --port 1502
    """
    from firmware_sim.line_commands import run_replay

    run_replay(file, listen=listen or (f"127.0.0.1:{port}" if port >= 0 else ""), to=to, speed=speed,
               duration_s=for_s)


@group.command("trace")
def sim_trace(
    file: Annotated[Path, typer.Argument(help="a recorded line")],
    out: Annotated[Path, typer.Argument(help="pcapng file to write")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="the server's: tells Wireshark the protocol")] = 502,
) -> None:
    """Turn a recorded line into a file that Wireshark opens.

    Example: tocsin sim trace meter.jsonl meter.pcapng
    """
    from firmware_sim.line_commands import run_trace

    run_trace(file, out, port=port)


@group.command("conform")
def sim_conform(
    target: Annotated[str, typer.Argument(
        help="modbus://, rtu:///, gbt26875://, gbt26875-listen://, hj212://, mqtt://, or a profile's id")],
    as_json: Annotated[bool, typer.Option("--json", help="for machines")] = False,
    listen_s: Annotated[float, typer.Option("--listen", help="seconds that an MQTT device is heard")] = 30.0,
) -> None:
    """Check a device, driver or receiver against its standard; exit 1 where something deviates.

    Example: tocsin sim conform modbus://192.168.1.20:502/1
    """
    from firmware_sim.line_commands import run_conform

    run_conform(target, as_json=as_json, listen_s=listen_s)


@group.command("cameras")
def sim_cameras(
    count: Annotated[int, typer.Argument(help="how many")] = 4,
    host: Annotated[str, typer.Option(help="address to serve on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="RTSP port; 0: any free one")] = 8554,
    clips: Annotated[Path, typer.Option(help="folder for the coded pictures")] = Path("sim-clips"),
    state: Annotated[str, typer.Option(help="normal | frozen | blind | moved | dark")] = "normal",
    for_s: Annotated[float | None, typer.Option("--for", help="end after so many seconds")] = None,
) -> None:
    """Serve RTSP cameras with drawn pictures.

    Example: tocsin sim cameras 100 --port 8554
    """
    from firmware_sim.line_commands import run_cameras

    run_cameras(count, host=host, port=port, clips=clips, state=state, duration_s=for_s)


Control = Annotated[Path | None, typer.Option(help="control file of the simulator; default .tocsin-sim.json here")]


@group.command("page")
def sim_page(
    scenario: Annotated[str | None, typer.Argument(help="scenario file, shipped scenario, or fleet")] = None,
    profile: Annotated[list[str] | None, typer.Option(help="simulate this profile (may be given often)")] = None,
    host: Annotated[str, typer.Option(help="address to serve the page on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="port of the page; 0: any free one")] = 0,
    broker: Annotated[str, typer.Option(help="mqtt://host:port for all MQTT lines; own: one is started")] = "",
    cameras: Annotated[int, typer.Option(help="serve so many RTSP cameras as well")] = 0,
    control: Control = None,
    truth: Annotated[Path | None, typer.Option(help="append what really happened to this JSONL file")] = None,
    reports: Annotated[Path, typer.Option(help="folder for verdicts and batches")] = Path("sim-reports"),
    profiles: Annotated[Path | None, typer.Option(
        help="folder of your own profiles: simulated, edited on the page, kept there")] = None,
    gateway: Annotated[str, typer.Option(
        help="a gateway's local page (http://127.0.0.1:8443): shown beside the devices")] = "",
    gateway_ca: Annotated[Path | None, typer.Option(help="who signs that page, where it is https")] = None,
    for_s: Annotated[float | None, typer.Option("--for", help="end after so many seconds")] = None,
) -> None:
    """The tester's page: live devices on real ports, buttons, sliders, faults, scenarios, batches.

    Example: tocsin sim page flaming-room-fire
             tocsin sim page --profile sdm120 --profile gas-module-co --port 8090
             tocsin sim page examples/tester/house.yaml --profiles my-profiles
             tocsin sim page examples/tester/house.yaml --gateway http://127.0.0.1:8443
    """
    from trial.page_commands import run_page

    raise typer.Exit(run_page(scenario, profiles=profile or (), host=host, port=port, broker=broker, cameras=cameras,
                              control=control, truth=truth, reports=reports, for_s=for_s, profiles_folder=profiles,
                              gateway=gateway, gateway_ca=gateway_ca))


@group.command("show")
def sim_show(
    device: Annotated[str, typer.Argument(help="a device; none: the list")] = "",
    find: Annotated[str, typer.Option(help="only devices that fit these words")] = "",
    control: Control = None,
    as_json: AsJson = False,
) -> None:
    """What a running simulator's devices show.

    Example: tocsin sim show --find alarm
             tocsin sim show co
    """
    from trial.page_commands import run_show

    raise typer.Exit(run_show(device, find=find, as_json=as_json, control=control))


@group.command("set")
def sim_set(
    device: Annotated[str, typer.Argument(help="a device of the running simulator")],
    point: Annotated[str, typer.Argument(help="a point of its profile")],
    value: Annotated[str, typer.Argument(help="on, off, or a number in the profile's unit")],
    control: Control = None,
) -> None:
    """A point of a running device shows a value.

    Example: tocsin sim set co gas 120
    """
    from trial.page_commands import run_deed

    raise typer.Exit(run_deed("set", {"point": f"{device}.{point}", "value": value}, control))


@group.command("press")
def sim_press(
    device: Annotated[str, typer.Argument(help="a device of the running simulator")],
    button: Annotated[str, typer.Argument(help="test, silence, reset, answer, or alarm, fault, battery, tamper")],
    off: Annotated[bool, typer.Option("--off", help="end the alarm, fault, low battery or tamper")] = False,
    control: Control = None,
) -> None:
    """Press a button of a running device, or begin and end what a tester wants of it.

    Example: tocsin sim press hall alarm
             tocsin sim press hall alarm --off
    """
    from trial.page_commands import run_deed

    if button in ("test", "silence", "reset", "answer"):
        raise typer.Exit(run_deed("press", {"device": device, "button": button}, control))
    raise typer.Exit(run_deed("act", {"device": device, "action": button, "begin": not off}, control))


@group.command("turn")
def sim_turn(
    knob: Annotated[str, typer.Argument(help="a knob of the world: kitchen-door.open, tap.amount …")],
    value: Annotated[float, typer.Argument(help="in the knob's unit")],
    control: Control = None,
) -> None:
    """Turn a knob of the running simulator's world.

    Example: tocsin sim turn kitchen-door.open 0
    """
    from trial.page_commands import run_deed

    raise typer.Exit(run_deed("turn", {"knob": knob, "value": value}, control))


@group.command("fault")
def sim_fault(
    kind: Annotated[str, typer.Argument(help="drop, garble, silent, stuck, off …; `end` ends fault number TARGET")],
    target: Annotated[str, typer.Argument(help="line, device or device.point; a number after `end`")],
    seconds: Annotated[float, typer.Option("--for", help="how long; 0: until ended")] = 0.0,
    chance: Annotated[float, typer.Option(help="of each reply, 0 to 1")] = 1.0,
    delay_s: Annotated[float, typer.Option(help="of late and doubled replies")] = 0.5,
    amount: Annotated[float, typer.Option(help="of jump, drift, babble, clock_wrong")] = 0.0,
    control: Control = None,
) -> None:
    """Strike a fault in a running simulator, or end one.

    Example: tocsin sim fault drop bus --for 30 --chance 0.3
             tocsin sim fault end 0
    """
    from trial.page_commands import run_deed

    if kind == "end":
        if not target.isdecimal():
            raise typer.BadParameter("write the fault's number", param_hint="TARGET")
        raise typer.Exit(run_deed("end", {"number": int(target)}, control))
    raise typer.Exit(run_deed("strike", {"kind": kind, "target": target, "for_s": seconds, "chance": chance,
                                         "delay_s": delay_s, "amount": amount}, control))


@group.command("batch")
def sim_batch(
    file: Annotated[Path, typer.Argument(help="batch: NAME and units: [{serial, firmware, test, seed}]")],
    out: Annotated[Path, typer.Option(help="folder for CSV, HTML and each unit's report")] = Path("batch-report"),
    lang: Annotated[str, typer.Option(help="language of the report: zh | en")] = "zh",
    listen_s: Annotated[float, typer.Option("--listen", help="seconds that an MQTT device is heard")] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Test many units, one after the other: serial, firmware and verdict each; goes on where it was cut off.

    A unit's test is a target (modbus://host:port/unit …), a profile, or a scenario. Exit code 0: all pass.

    Example: tocsin sim batch night.yaml --out reports/
    """
    from trial.page_commands import run_batch_file

    raise typer.Exit(run_batch_file(file, out, language=lang, listen_s=listen_s, as_json=as_json))


@group.command("fleet")
def sim_fleet(
    name: Annotated[str, typer.Argument(help="yuhang | tongzhou")],
    broker: Annotated[str, typer.Option(help="mqtt://host:port of the MQTT devices")] = "mqtt://127.0.0.1:1883",
    centre: Annotated[str, typer.Option(help="host:port that panels and stations report to")] = "",
    rate: Annotated[float, typer.Option(help="how many times as many events as in life")] = 1.0,
    days: Annotated[float, typer.Option(help="of the timeline")] = 7.0,
    share: Annotated[float, typer.Option(help="of the district's devices, 0 to 1")] = 1.0,
    seed: Annotated[int, typer.Option(help="of what happens")] = 1,
    truth: Annotated[Path | None, typer.Option(help="append what really happened to this JSONL file")] = None,
    page: Annotated[int, typer.Option(help="also serve the tester's page on this port; -1: no page")] = -1,
    for_s: Annotated[float | None, typer.Option("--for", help="end after so many seconds")] = None,
    as_json: AsJson = False,
) -> None:
    """A whole district of devices at the rates of life, with what they cost this machine.

    Example: tocsin sim fleet yuhang --broker mqtt://127.0.0.1:1883 --for 60 --json
    """
    from trial.fleet_commands import run_fleet

    raise typer.Exit(run_fleet(name, broker=broker, centre=centre, rate=rate, days=days, share=share, seed=seed,
                               truth=truth, page=page, for_s=for_s, as_json=as_json))
