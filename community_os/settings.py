"""cloud.yaml: how one machine runs the community OS (pure): every error with line and remedy.

    state: var/cloud            folder of database, broker, keys; relative to this file
    address: 127.0.0.1          where the pages listen
    port: 8080
    oidc: {name: …, issuer: https://…, client_id: …, grants: [ … ]}    oidc_settings.py
    sign_in: required           or open_on_loopback: no accounts, and then loopback only (demo)
    sites: [ riverside.yaml ]   the same site files as the gateways run
    routing: routing.yaml       who is told; duty: duty.yaml; response: response.yaml (docs/routing.md)
    endpoints: [ {name: dispatch, url: https://…, key_file: dispatch.key},
                 {name: duty-phones, kind: apprise, url_file: keys/dingtalk, language: zh} ]     docs/channels.md
    series: {remotes: [ {id: influx, kind: influxdb1, url: https://…, database: tocsin, secret_file: keys/influx} ]}
    map: {base: district.geojson, tiles: https://…}              map_settings.py
    centres: [ {name: city, host: …, port: …, sites: {city/district/street/site: 889}} ]    GB/T 26875.3
    broker: {mqtt_host: …, mqtt_port: 8883, names: [ … ]}
"""

from __future__ import annotations

import ipaddress
import re
from enum import StrEnum
from pathlib import PurePath
from typing import Literal

import msgspec

from community_os.broker_config import BrokerSettings
from community_os.centre_words import CentreSettings
from community_os.envelopes import PARTITIONS
from community_os.map_settings import MapSettings, map_faults
from community_os.notice_words import Audience
from community_os.oidc_settings import OidcSettings, oidc_faults
from device_model.errors import ConfigError, Finding
from device_model.site import SeriesKind, SeriesSettings
from device_model.yaml_source import Source, convert, parse_yaml

PARTITIONS_MAX = 256
_ADDRESS = re.compile(r"(https?)://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(?::[0-9]{1,5})?(?:/[!-~]*)?")
PORT_MAX = 65535


class SignInRule(StrEnum):
    """Who may open the pages."""

    REQUIRED = "required"
    OPEN_ON_LOOPBACK = "open_on_loopback"


class EndpointKind(StrEnum):
    """How notices go there."""

    WEBHOOK = "webhook"  # signed CloudEvents, for programs
    APPRISE = "apprise"  # words, for people: DingTalk, WeCom, Feishu, mail, SMS gateways …


class EndpointSettings(msgspec.Struct, frozen=True):
    """Where notices are sent.

    webhook: url is an https address, plain http on loopback only; key_file: what signs (`whsec_…` HMAC, `whsk_…`
    Ed25519; made by `tocsin cloud key FILE`). apprise: url_file (one line) or url_env names where its address stands,
    for it holds secrets; language: zh, en or both; audience: for whom the words are; per_minute: more messages than
    these are sent as one, except those that law 1 names.
    """

    name: str
    url: str = ""
    key_file: str = ""
    kind: EndpointKind = EndpointKind.WEBHOOK
    url_file: str = ""
    url_env: str = ""
    language: Literal["zh", "en", "both"] = "zh"
    audience: Audience = Audience.PROPERTY
    per_minute: int = 20


class CloudSeries(SeriesSettings, frozen=True):
    """The community OS's own time series, and the servers that get them as well (docs/series.md). keep: false: none
    are kept here, and pages have no plots of days. path: file, in the state folder. raw_days covers the longest
    outage of a gateway that is still told apart reading by reading."""

    path: str = "series.sqlite"
    raw_days: float = 7.0
    minute_days: float = 14.0
    quarter_days: float = 120.0
    quota_mib: int = 4096
    group_s: float = 1.0
    keep: bool = True


class CloudSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A whole cloud.yaml, checked.

    state: folder; pages: address by which people reach the pages, for links in messages; database: SQLAlchemy url,
    "" for SQLite in the state folder; partitions: over how many workers sites may be spread (fixed once messages are
    stored). routing, duty, response: who is told, who is on duty, what is done (docs/routing.md); endpoints: where
    notices go; recordings: folder of published recordings, one folder a set, for back-tests beside the shipped fires;
    environment_limits: own limits of standards (the form of community_os/environment_limits.yaml);
    centres: the brigade's monitoring centres (GB/T 26875.3); series: time series of all sites.
    """

    state: str = "var/cloud"
    address: str = "127.0.0.1"
    port: int = 8080
    pages: str = ""
    database: str = ""
    sites: tuple[str, ...] = ()
    routing: str = ""
    duty: str = ""
    response: str = ""
    recordings: str = ""
    environment_limits: str = ""
    endpoints: tuple[EndpointSettings, ...] = ()
    centres: tuple[CentreSettings, ...] = ()
    series: CloudSeries = CloudSeries()
    partitions: int = PARTITIONS
    evidence_quota_mib: int = 4096
    sign_in: SignInRule = SignInRule.REQUIRED
    oidc: OidcSettings | None = None
    broker: BrokerSettings = BrokerSettings()
    map: MapSettings = MapSettings()

    @property
    def database_url(self) -> str:
        """Where incidents are stored."""
        return self.database or f"sqlite:///{self.state}/incidents.sqlite"

    @property
    def own_series(self) -> CloudSeries:
        """The time series with the whole path of their file."""
        return msgspec.structs.replace(self.series, path=str(PurePath(self.state) / self.series.path))

    @property
    def authority_folder(self) -> str:
        """The CA's keys and the register of gateways."""
        return f"{self.state}/authority"

    @property
    def broker_folder(self) -> str:
        """nats-server's configuration and store."""
        return f"{self.state}/broker"


def parse_cloud(text: str, file: str) -> CloudSettings:
    """A cloud.yaml, its paths made relative to the file's folder. Raises ConfigError with all findings."""
    source = parse_yaml(text, file)
    findings: list[Finding] = []
    settings = convert(source, (), CloudSettings, findings)
    if settings is None:
        raise ConfigError(findings)
    findings += _check(settings, source)
    if findings:
        raise ConfigError(findings)
    folder = PurePath(file).parent
    return msgspec.structs.replace(
        settings, state=str(folder / settings.state), sites=tuple(str(folder / site) for site in settings.sites),
        **{name: str(folder / file) for name in ("routing", "duty", "response", "recordings", "environment_limits")
           if (file := getattr(settings, name))},
        endpoints=tuple(msgspec.structs.replace(
            one, key_file=str(folder / one.key_file) if one.key_file else "",
            url_file=str(folder / one.url_file) if one.url_file else "") for one in settings.endpoints),
        database=_rooted(settings.database, folder), series=_rooted_series(settings.series, folder),
        oidc=_rooted_oidc(settings.oidc, folder),
        map=msgspec.structs.replace(settings.map, base=str(folder / settings.map.base)) if settings.map.base
        else settings.map,
    )


def _rooted_oidc(oidc: OidcSettings | None, folder: PurePath) -> OidcSettings | None:
    """The secret stands beside cloud.yaml."""
    if oidc is None or not oidc.client_secret_file:
        return oidc
    return msgspec.structs.replace(oidc, client_secret_file=str(folder / oidc.client_secret_file))


def _rooted_series(series: CloudSeries, folder: PurePath) -> CloudSeries:
    """Secrets and CA files stand beside cloud.yaml."""
    return msgspec.structs.replace(series, remotes=tuple(msgspec.structs.replace(
        one, secret_file=str(folder / one.secret_file) if one.secret_file else "",
        ca_file=str(folder / one.ca_file) if one.ca_file else "") for one in series.remotes))


def _rooted(url: str, folder: PurePath) -> str:
    """A relative SQLite path is relative to the file, too."""
    prefix = "sqlite:///"
    path = url.removeprefix(prefix)
    if url.startswith(prefix) and path and not path.startswith(("/", ":memory:")):
        return f"{prefix}{folder / path}"
    return url


def _check(settings: CloudSettings, source: Source) -> list[Finding]:
    found = []
    for name, port in (("port", settings.port), ("broker.mqtt_port", settings.broker.mqtt_port),
                       ("broker.services_port", settings.broker.services_port)):
        if not 0 <= port <= PORT_MAX:
            found.append(source.finding(name.split("."), f"{name} {port} is no port", "0 (any free one) to 65535"))
    if not 1 <= settings.partitions <= PARTITIONS_MAX:
        found.append(source.finding(("partitions",), f"{settings.partitions} partitions",
                                    f"between 1 and {PARTITIONS_MAX}"))
    if settings.sign_in is SignInRule.OPEN_ON_LOOPBACK and not is_loopback(settings.address):
        found.append(source.finding(
            ("address",), f"without sign-in the pages may not listen on {settings.address}",
            "set `sign_in: required`, or `address: 127.0.0.1`"))
    if settings.oidc is not None:
        found += [source.finding(("oidc", *where), what, remedy)
                  for where, what, remedy in oidc_faults(settings.oidc, is_loopback)]
    found += [source.finding(("map", *where), what, remedy)
              for where, what, remedy in map_faults(settings.map, is_loopback)]
    if not settings.state:
        found.append(source.finding(("state",), "state is empty", "name a folder"))
    found += _check_endpoints(settings.endpoints, source)
    written = _ADDRESS.fullmatch(settings.pages)
    if settings.pages and written is None:
        found.append(source.finding(("pages",), f"{settings.pages!r} is no address", "write https://host"))
    told: dict[str, str] = {}
    for i, centre in enumerate(settings.centres):
        if not 0 < centre.port <= PORT_MAX:
            found.append(source.finding(("centres", i, "port"), f"{centre.port} is no port", "1 to 65535"))
        for path, address in centre.sites.items():
            if path.count("/") != 3 or not 0 <= address < 2**48:
                found.append(source.finding(("centres", i, "sites"), f"{path}: {address} does not fit",
                                            "city/district/street/site: an address below 2^48"))
            if told.setdefault(path, centre.name) != centre.name:
                found.append(source.finding(("centres", i, "sites"), f"{path} reports to {told[path]} already",
                                            "one centre a site"))
    found += _check_series(settings.series, source)
    for i, site in enumerate(settings.sites):
        if site in settings.sites[:i]:
            found.append(source.finding(("sites", i), f"{site} stands twice", "keep one"))
    return found


def _check_endpoints(endpoints: tuple[EndpointSettings, ...], source: Source) -> list[Finding]:
    found = []
    names: set[str] = set()
    for i, one in enumerate(endpoints):
        if one.name in names:
            found.append(source.finding(("endpoints", i, "name"), f"{one.name} stands twice", "rename one"))
        names.add(one.name)
        if one.kind is EndpointKind.APPRISE:
            if one.url or one.key_file:
                found.append(source.finding(("endpoints", i), f"{one.name}: an address of apprise holds secrets",
                                            "write it into a file and name it as url_file, or url_env"))
            elif bool(one.url_file) == bool(one.url_env):
                found.append(source.finding(("endpoints", i), f"{one.name}: nobody knows where its address stands",
                                            "name url_file or url_env, one of them"))
            if one.per_minute < 1:
                found.append(source.finding(("endpoints", i, "per_minute"), "must be 1 or more", "such as 20"))
            continue
        written = _ADDRESS.fullmatch(one.url)
        host = written[2].strip("[]") if written else ""
        if written is None or not (written[1] == "https" or is_loopback(host)):
            found.append(source.finding(("endpoints", i, "url"), f"{one.url!r} is no https address",
                                        "write https://…; plain http is for 127.0.0.1 alone"))
        if not one.key_file and not is_loopback(host):
            found.append(source.finding(("endpoints", i), f"{one.name} has no key_file: nobody could tell it is us",
                                        "make one with `tocsin cloud key FILE`"))
    return found


def _check_series(series: CloudSeries, source: Source) -> list[Finding]:
    found = []
    for key in ("raw_days", "minute_days", "quarter_days", "hour_days", "quota_mib", "group_s"):
        if not getattr(series, key) > 0:
            found.append(source.finding(("series", key), f"{key} must be positive", "leave it out for the default"))
    names: set[str] = set()
    for i, remote in enumerate(series.remotes):
        at = ("series", "remotes", i)
        written = _ADDRESS.fullmatch(remote.url)
        if written is None or not (written[1] == "https" or is_loopback(written[2].strip("[]"))):
            found.append(source.finding((*at, "url"), f"{remote.url!r} is no https address",
                                        "write https://host:port; plain http is for 127.0.0.1 alone"))
        if not re.fullmatch(r"[a-z0-9-]{1,40}", remote.id) or remote.id in names:
            found.append(source.finding((*at, "id"), f"id {remote.id!r} is no token, or stands twice",
                                        "such as `influx`"))
        names.add(remote.id)
        if remote.kind is SeriesKind.INFLUX_2 and not remote.org:
            found.append(source.finding((*at, "org"), "influxdb2 needs its organisation", "add `org: name`"))
    return found


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach that address."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
