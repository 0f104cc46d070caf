"""`tocsin provision …`: the first day of a gateway."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from command_line.shared import AsJson

group = typer.Typer(invoke_without_command=True,
                    help="The first day: claim a gateway, scan, place, walk-test, report (docs/guide-property.md).")
Folder = Annotated[Path, typer.Option("--folder", help="where the gateway's keys and site file are")]
Cloud = Annotated[str, typer.Option("--cloud", help="address of the community OS, https://…")]
Asset = Annotated[str, typer.Option("--asset", help="asset code for the label")]
HERE = Path()
Config = Annotated[Path, typer.Option("--config", help="the site file of the gateway on this machine")]


@group.callback()
def provision(
    context: typer.Context, folder: Folder = HERE, cloud: Cloud = "", asset: Asset = "",
    answers: Annotated[Path | None, typer.Option("--answers", help="YAML of answers, for scripts")] = None,
    start: Annotated[bool, typer.Option("--start/--no-start", help="run gateway and page where they do not")] = True,
    as_json: AsJson = False,
) -> None:
    """The wizard: claim, site file, network check, scan, place, first readings. Interrupted, it goes on.

    Example: tocsin provision --folder /var/lib/tocsin --cloud https://cloud.example
    """
    if context.invoked_subcommand is not None:
        return
    from edge_agent.install_settle import become_owner
    from edge_agent.provision_talk import talk_of
    from edge_agent.provision_wizard import Answers, answers_with, read_answers, run_wizard

    given = read_answers(answers) if answers is not None else Answers()
    talk = talk_of(as_json=as_json, asks=answers is None and not as_json)
    become_owner(folder)
    report = run_wizard(folder.resolve(), answers_with(given, {"cloud": cloud, "asset": asset}), talk, start=start)
    if as_json:
        print(msgspec.json.encode(report).decode())
    else:
        print(f"\n{report.gateway}: {len(report.readings)} devices heard, {report.took_s:g} s. Next, on a phone: the "
              f"gateway's page, Installation\n下一步：手机打开网关页面的“安装调试”，完成走查与验收")


@group.command("report")
def provision_report(
    config: Config, out: Annotated[Path, typer.Option("--out", help="the PDF")] = Path("acceptance.pdf"),
    language: Annotated[str, typer.Option("--lang", help="zh or en")] = "zh",
) -> None:
    """The acceptance report as PDF: plan, devices, tests, photos, impairments, signatures, hash of the content.

    Example: tocsin provision report --config /var/lib/tocsin/site.yaml --out acceptance.pdf --lang zh
    """
    from edge_agent.installer import GatewayInstaller

    out.write_bytes(GatewayInstaller(config).report(language))
    print(f"ok: {out}")


@group.command("import")
def provision_import(
    table: Annotated[Path, typer.Argument(help="CSV or XLSX")], config: Config,
    who: Annotated[str, typer.Option(help="your name: it is recorded")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="check and show, write nothing")] = False,
    as_json: AsJson = False,
) -> None:
    """Put devices of a table into the site file; every error with row, column and remedy, and then nothing is
    written.

    Example: tocsin provision import devices.xlsx --config site.yaml --who "Li Wei" --dry-run
    """
    from edge_agent.compose import read_configuration
    from provisioning.device_exchange import import_devices

    report = import_devices(config, table, who, dry_run=dry_run, check=read_configuration)
    print(msgspec.json.encode(report).decode() if as_json else report.text())
    if report.errors:
        raise typer.Exit(1)


@group.command("export")
def provision_export(
    config: Config, out: Annotated[Path, typer.Option("--out", help="FILE.csv or FILE.xlsx")],
) -> None:
    """Write the devices of a site file as CSV or XLSX.

    Example: tocsin provision export --config site.yaml --out devices.xlsx
    """
    from provisioning.device_exchange import export_devices

    print(f"ok: {export_devices(config, out)} devices in {out}")


@group.command("undo")
def provision_undo(
    config: Config, who: Annotated[str, typer.Option(help="your name: it is recorded")] = "",
) -> None:
    """Take the last change of the site file back, and have the running gateway take it.

    Example: tocsin provision undo --config site.yaml --who "Li Wei"
    """
    from edge_agent.installer import GatewayInstaller

    answer = GatewayInstaller(config).undo(who)
    print(answer.diff + (answer.reloaded or "\n".join(answer.findings)))
    if not answer.written:
        raise typer.Exit(1)


@group.command("history")
def provision_history(
    config: Config, diff: Annotated[int, typer.Option("--diff", help="what this version changed")] = 0,
) -> None:
    """The versions of the site file: number, when, who, why.

    Example: tocsin provision history --config site.yaml --diff 3
    """
    from datetime import UTC, datetime

    from provisioning.site_versions import SiteVersions

    versions = SiteVersions(config)
    if diff:
        print(versions.changed(diff), end="")
        return
    for one in versions.history():
        when = datetime.fromtimestamp(one.at_us / 1e6, UTC)
        print(f"{one.number:>4}  {when:%Y-%m-%d %H:%M:%SZ}  {one.who}  {one.why}")


@group.command("replace")
def provision_replace(
    device: Annotated[str, typer.Argument(help="device id")], config: Config,
    serial: Annotated[str, typer.Option(help="serial number of the new one")] = "",
    unit: Annotated[int, typer.Option(help="its Modbus unit, if it is another")] = 0,
    address: Annotated[str, typer.Option(help="its address on a broker, if it is another")] = "",
    who: Annotated[str, typer.Option(help="your name: it is recorded")] = "",
) -> None:
    """Replace a broken device by another of the same model; its id, plots and incidents stay.

    Example: tocsin provision replace smoke-301 --serial SN-881 --config site.yaml --who "Li Wei"
    """
    from edge_agent.installer import GatewayInstaller

    answer = GatewayInstaller(config).replace(device, who, serial=serial, unit=unit, address=address)
    print(answer.diff + (answer.reloaded or "\n".join(answer.findings)))
    if not answer.written:
        raise typer.Exit(1)


@group.command("walk")
def provision_walk(
    device: Annotated[str, typer.Argument(help="device id")], config: Config,
    who: Annotated[str, typer.Option(help="your name: it is recorded")],
    seconds: Annotated[float, typer.Option("--for", help="test mode, at most 1800")] = 120.0,
    as_json: AsJson = False,
) -> None:
    """Walk test of one device: in test, trigger it, seen; exit code 1 where nothing was seen.

    Example: tocsin provision walk smoke-301 --who "Li Wei" --config site.yaml
    """
    import time

    from edge_agent.installer import GatewayInstaller

    installer = GatewayInstaller(config)
    step = installer.walk(device, "begin", who, seconds)
    print("REAL, a call point: tell the brigade first" if step.real else f"{device} is in test; trigger it now",
          file=sys.stderr, flush=True)
    while step.result == "running":
        time.sleep(0.3)
        step = installer.walk(device, "look", who, seconds)
    print(msgspec.json.encode(step).decode() if as_json else f"{device}: {step.result} {step.point} {step.value} "
          f"{step.took_ms} ms")
    if step.result != "arrived":
        raise typer.Exit(1)


@group.command("code")
def provision_code(
    cloud: Cloud, folder: Folder = HERE, asset: Asset = "",
    wait_s: Annotated[float, typer.Option("--wait", help="seconds to wait until it is claimed")] = 3600.0,
    new: Annotated[bool, typer.Option("--new", help="throw the present code away")] = False,
    as_json: AsJson = False,
) -> None:
    """Show this gateway's claim code and wait until its owner has claimed it; exit code 1 when nobody did.

    Example: tocsin provision code --cloud https://cloud.example --folder /var/lib/tocsin
    """
    from provisioning.claim_box import ClaimBox, ShownCode
    from provisioning.claim_commands import wait_for_claim
    from provisioning.qr_label import qr_terminal

    box = ClaimBox(folder)
    if new:
        box.new_code(cloud, asset)
    said = [""]

    def show(code: ShownCode) -> None:
        if as_json:
            print(msgspec.json.encode({"code": code.code, "address": code.address}).decode(), flush=True)
        else:
            print(f"{qr_terminal(code.address)}\n  {code.code}\n\n  scan it with the owner's phone, or type it at "
                  f"{cloud}/claim\n  用业主手机扫码，或在 {cloud}/claim 输入此认领码", flush=True)

    def say(text: str) -> None:
        if text and text != said[0]:
            print(text, file=sys.stderr, flush=True)
        said[0] = text

    identity = wait_for_claim(box, cloud.rstrip("/"), asset, wait_s, show, say)
    if identity is None:
        print("not claimed yet; the code stands until it is over", file=sys.stderr)
        raise typer.Exit(1)
    print(msgspec.json.encode(identity).decode() if as_json else f"claimed: {identity.gateway}")


@group.command("label")
def provision_label(
    pdf: Annotated[Path | None, typer.Option("--pdf", help="62 × 29 mm, one label a page")] = None,
    svg: Annotated[Path | None, typer.Option("--svg", help="one label a file")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="site file: a label for each device")] = None,
    cloud: Cloud = "", folder: Folder = HERE, asset: Asset = "",
) -> None:
    """Print labels: with --config those of a site's devices, else that of this gateway with its claim code.

    Example: tocsin provision label --config site.yaml --pdf labels.pdf
    """
    from device_model.errors import LocalFault
    from provisioning.claim_box import ClaimBox
    from provisioning.claim_commands import device_labels, gateway_label, write_labels

    if pdf is None and svg is None:
        raise LocalFault("say where to: --pdf FILE or --svg FILE")
    if config is not None:
        labels = device_labels(config)
    else:
        box = ClaimBox(folder)
        shown = box.shown()
        if shown is None and not cloud:
            raise LocalFault("there is no claim code; give --cloud https://… to make one")
        labels = [gateway_label(box.code(cloud.rstrip("/"), asset) if cloud or shown is None else shown)]
    for file in write_labels(labels, pdf, svg):
        print(f"ok: {file}")


@group.command("batch")
def provision_batch(
    file: Annotated[Path, typer.Argument(help="CSV: code,path,gateway,name_zh,name_en")],
    who: Annotated[str, typer.Option(help="your name: it is recorded")],
    config: Annotated[Path | None, typer.Option("--config", help="cloud.yaml")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="they replace gateways of the same names")] = False,
    as_json: AsJson = False,
) -> None:
    """Claim many gateways at the cloud's machine; exit code 1 when any was refused.

    Example: tocsin provision batch gateways.csv --who "Wang Lei" --config cloud.yaml
    """
    from community_os.claim_service import claim_file

    report = claim_file(config, file, who, replace=replace)
    print(msgspec.json.encode(report).decode() if as_json else report.text())
    if report.claimed < len(report.lines):
        raise typer.Exit(1)


@group.command("renew")
def provision_renew(folder: Folder = HERE) -> None:
    """Ask for this gateway's next certificate now; it does so by itself, also when its clock is wrong.

    Example: tocsin provision renew --folder /var/lib/tocsin
    """
    from provisioning.claim_box import ClaimBox

    print(ClaimBox(folder).renew().words())


@group.command("revoke")
def provision_revoke(
    path: Annotated[str, typer.Argument(help="city/district/street/site")],
    gateway: Annotated[str, typer.Argument(help="gateway id")],
    why: Annotated[str, typer.Option(help="the reason: it is recorded")],
    config: Annotated[Path | None, typer.Option("--config", help="cloud.yaml")] = None,
) -> None:
    """Shut a gateway out at the cloud's machine; its live session ends within a second.

    Example: tocsin provision revoke hangzhou/yuhang/cangqian/riverside gw-1 --why stolen --config cloud.yaml
    """
    from community_os.settings_source import read_settings
    from provisioning.commands import revoke_gateway

    revoke_gateway(Path(read_settings(config).authority_folder), path, gateway, why)
    print(f"shut out: {path}/{gateway}")


@group.command("acl")
def provision_acl(
    out: Annotated[Path | None, typer.Option("--out", help="folder; none: print")] = None,
) -> None:
    """The Mosquitto ACL and listener for a site broker: each sensor speaks below its own name alone.

    Example: sudo tocsin provision acl --out /etc/mosquitto
    """
    from provisioning.site_acl import site_broker_files

    for name, content in site_broker_files().items():
        if out is None:
            print(f"# --- {name}\n{content}")
        else:
            (out / name).write_text(content, encoding="utf-8")
            print(f"ok: {out / name}")
