"""Claiming as the pages ask for it (I/O): the desk, the broker's address, the sites that are known.

Sites of claimed gateways come from `<state>/sites`: `known_site_files` names them, and the roles that rest on site
files begin anew when that folder changes, a few seconds later.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from community_os.settings import CloudSettings, is_loopback
from community_os.settings_source import read_settings
from community_os.site_stamps import claimed_site_files
from dashboards.claim_pages import ClaimBody, PlaceGateway, RevokeBody, SitePlace
from dashboards.people import NoTrail, Trail
from device_model.errors import ConfigError, LocalFault
from device_model.library import read_site
from device_model.messages import GatewayAddress
from device_model.site import Tenancy
from provisioning.authority import Authority
from provisioning.claim_commands import BatchReport, claim_batch
from provisioning.claim_desk import ClaimDesk, ClaimPlace


class _Ports(msgspec.Struct, frozen=True):
    mqtt: int


class Claims:
    """`dashboards.claim_pages.ClaimService`."""

    def __init__(self, settings: CloudSettings, trail: Trail) -> None:
        self._settings = settings
        self._known: dict[str, tuple[int, str, tuple[str, str]]] = {}
        authority = Authority.open(Path(settings.authority_folder), names=settings.broker.names)
        self._desk = ClaimDesk(authority, Path(settings.state), self.broker, lambda what, whom, why: trail.note(
            "gateways", what, subject=whom, path="/".join(whom.split(".")[:4]), why=why))

    def broker(self) -> tuple[str, int]:
        """Under which name and port gateways reach the broker."""
        broker = self._settings.broker
        port = broker.mqtt_port
        if port == 0:
            try:
                file = Path(self._settings.broker_folder) / "ports.json"
                port = msgspec.json.decode(file.read_bytes(), type=_Ports).mqtt
            except (OSError, msgspec.DecodeError) as error:
                raise LocalFault("the broker has not started yet") from error
        named = [name for name in broker.names if not is_loopback(name)]
        return (named[0] if named else "127.0.0.1"), port

    def _names(self) -> dict[str, tuple[str, str]]:
        """Of the sites that have a site file: path ─► (en, zh). Each file is read again only when it changed."""
        for file in (*self._settings.sites, *claimed_site_files(self._settings)):
            try:
                stamp = Path(file).stat().st_mtime_ns
                if self._known.get(file, (0,))[0] != stamp:
                    site = read_site(file)
                    self._known[file] = (stamp, site.tenancy.path, (site.name.en, site.name.zh))
            except (OSError, ConfigError, LocalFault):
                self._known.pop(file, None)  # the worker says what is wrong with it
        return {path: names for _, path, names in self._known.values()}

    def offer(self, payload: bytes, where: str) -> bytes:
        """As the protocol."""
        grant = self._desk.answer(self._desk.offer(payload, where))
        return b"" if grant is None else msgspec.json.encode(grant)

    def hear(self, payload: bytes) -> bytes:
        """As the protocol."""
        return msgspec.json.encode(self._desk.hear(payload)[1])

    def places(self) -> tuple[SitePlace, ...]:
        """As the protocol."""
        gateways: dict[str, list[PlaceGateway]] = {}
        for one in self._desk.gateways().values():
            gateways.setdefault(one.address.tenancy.path, []).append(
                PlaceGateway(one.address.gateway, one.status.value, one.not_after_us))
        names = self._names()
        return tuple(SitePlace(path, *names.get(path, ("", "")), tuple(gateways.get(path, ())))
                     for path in sorted({*names, *gateways}))

    def claim(self, body: ClaimBody, who: str) -> str:
        """As the protocol."""
        en, zh = self._names().get(body.path, (body.name_en.strip()[:80], body.name_zh.strip()[:80]))
        place = ClaimPlace(GatewayAddress(Tenancy.of(body.path), body.gateway.strip()), en or zh, zh or en,
                           body.replace)
        return self._desk.claim(body.code, place, who).common_name

    def revoke(self, body: RevokeBody, who: str) -> None:
        """As the protocol."""
        self._desk.revoke(GatewayAddress(Tenancy.of(body.path), body.gateway), who, body.why.strip()[:300])


def claim_file(config: Path | None, file: Path, who: str, *, replace: bool) -> BatchReport:
    """A batch at the cloud's own machine. Raises ConfigError, LocalFault."""
    settings = read_settings(config)
    if not who.strip():
        raise LocalFault("say who claims: --who NAME")
    service = Claims(settings, NoTrail())
    return claim_batch(file, Path(settings.authority_folder), Path(settings.state), service.broker, who.strip(),
                       replace=replace)
