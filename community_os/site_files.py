"""The files that a cloud is configured with (I/O): its sites, and who is told and on duty."""

from __future__ import annotations

from pathlib import Path

import msgspec

from community_os.notice_desk import DutyFiles
from community_os.settings import CloudSettings
from community_os.site_setup import SiteSetup
from community_os.site_stamps import claimed_site_files
from device_model.errors import ConfigError, Finding
from device_model.library import read_inventory
from rules_engine.packs import rules_of_site
from rules_engine.routing_commands import read_duty, read_response, read_routing


def read_sites(settings: CloudSettings) -> dict[str, SiteSetup]:
    """The configured sites by tenancy path. Raises ConfigError with the findings of all files."""
    sites: dict[str, SiteSetup] = {}
    files = read_duty_files(settings)
    findings: list[Finding] = []
    for file in (*settings.sites, *claimed_site_files(settings)):
        try:
            inventory = read_inventory(file)
            if file not in settings.sites and inventory.site.tenancy.path in sites:
                continue  # what the operator configured stands above what a gateway handed in
            path = inventory.site.tenancy.path
            centre = next((centre.name for centre in settings.centres if path in centre.sites), "")
            setup = SiteSetup(inventory, rules_of_site(inventory.site), msgspec.structs.replace(files, centre=centre))
        except ConfigError as error:
            findings += error.findings
            continue
        if setup.path in sites:
            findings.append(Finding(file, 0, 0, f"the site {setup.path} stands in two files", "keep one"))
        sites[setup.path] = setup
    if findings:
        raise ConfigError(findings)
    return sites


def read_duty_files(settings: CloudSettings) -> DutyFiles:
    """Routing, duty and response files as far as they are named, held against each other. Raises ConfigError."""
    files = DutyFiles(
        read_routing(Path(settings.routing)) if settings.routing else None,
        read_duty(Path(settings.duty)) if settings.duty else None,
        read_response(Path(settings.response)) if settings.response else None)
    known = {endpoint.name for endpoint in settings.endpoints}
    rotas = set(files.duty.plan.rotas) if files.duty else set()
    findings = []
    for receiver in files.routing.receivers.values() if files.routing else ():
        findings += [Finding(settings.routing, 0, 0, f"receiver {receiver.name}: there is no endpoint {name!r}",
                             "name it in cloud.yaml under `endpoints:`") for name in receiver.endpoints
                     if name not in known]
        if receiver.rota and receiver.rota not in rotas:
            findings.append(Finding(settings.routing, 0, 0, f"receiver {receiver.name}: no rota {receiver.rota!r}",
                                    "name it in the duty file"))
    for person in files.duty.plan.people.values() if files.duty else ():
        findings += [Finding(settings.duty, 0, 0, f"{person.name}: there is no endpoint {name!r}",
                             "name it in cloud.yaml under `endpoints:`") for name in person.endpoints
                     if name not in known]
    if findings:
        raise ConfigError(findings)
    return files
