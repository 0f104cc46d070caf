"""The text of nats-server's configuration (pure): listeners, users, permissions and limits, each with its reason.

    gateways ──mTLS, MQTT 3.1.1──► mqtt listener     user = certificate subject (verify_and_map)
    ingest, worker, pages ──NATS──► loopback listener  user "services", random password

Each enrolled gateway is one user that may publish under its own prefix and hear its own prefix, nothing else.
nats-server has no template for static users, so the file is written anew at each enrolment and reloaded.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from provisioning.identity import EnrolledGateway, GatewayStatus

SERVICES_USER = "services"
ACCOUNT = "TOCSIN"
MIB = 1024 * 1024
# The largest thing that travels is a worker's checkpoint, "< 1 MiB" by design; batches are 256 KiB at most.
MAX_PAYLOAD_BYTES = 1 * MIB
# What the server may hold for one slow client before it cuts it off: some sixty of the largest messages.
MAX_PENDING_BYTES = 64 * MIB


class BrokerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the embedded broker listens and stores. Ports of 0 are replaced by free ones at the first start.

    mqtt_host: loopback by default; a real cloud names the address that gateways reach.
    max_connections: gateways and services together; each costs some 50 KiB in the server.
    file_store_mib: bound of all streams on disk.
    sync_always: each stored message is on the disk before it is acknowledged. Without it a power cut of a
        single-node cloud loses up to two minutes that gateways were told are safe and have forgotten.
    """

    mqtt_host: str = "127.0.0.1"
    mqtt_port: int = 8883
    services_host: str = "127.0.0.1"
    services_port: int = 4222
    names: tuple[str, ...] = ()
    max_connections: int = 8192
    file_store_mib: int = 8192
    memory_store_mib: int = 64
    sync_always: bool = True


class BrokerFiles(msgspec.Struct, frozen=True):
    """Paths that the configuration names."""

    store_folder: str
    ca_file: str
    certificate_file: str
    key_file: str
    log_file: str
    pid_file: str


class BrokerAccess(msgspec.Struct, frozen=True):
    """How ingest, worker and pages reach the broker. The password is a secret: never logged."""

    url: str
    user: str
    password: str

    def __repr__(self) -> str:
        return f"BrokerAccess(url={self.url!r}, user={self.user!r})"


def broker_configuration(
    settings: BrokerSettings, files: BrokerFiles, password: str, gateways: Iterable[EnrolledGateway],
) -> str:
    """The whole configuration file. Ports must be chosen already."""
    users = [_services_user(password)]
    enrolled = sorted(
        (gateway for gateway in gateways if gateway.status is GatewayStatus.ENROLLED),
        key=lambda gateway: gateway.common_name,
    )
    users.extend(_gateway_user(gateway) for gateway in enrolled)
    return f"""# Written by community_os/broker.py at each start, enrolment and revocation. Changes by hand are lost.
server_name: tocsin
listen: {_quote(f"{settings.services_host}:{settings.services_port}")}
pid_file: {_quote(files.pid_file)}
log_file: {_quote(files.log_file)}
logfile_size_limit: {16 * MIB}
logfile_max_num: 4
max_payload: {MAX_PAYLOAD_BYTES}
max_pending: {MAX_PENDING_BYTES}
max_connections: {settings.max_connections}
max_control_line: 4096
write_deadline: "10s"
ping_interval: "20s"
jetstream {{
  store_dir: {_quote(files.store_folder)}
  max_file_store: {settings.file_store_mib * MIB}
  max_memory_store: {settings.memory_store_mib * MIB}
  sync_interval: {"always" if settings.sync_always else '"10s"'}
}}
mqtt {{
  listen: {_quote(f"{settings.mqtt_host}:{settings.mqtt_port}")}
  ack_wait: "10s"
  max_ack_pending: 256
  tls {{
    cert_file: {_quote(files.certificate_file)}
    key_file: {_quote(files.key_file)}
    ca_file: {_quote(files.ca_file)}
    verify_and_map: true
    timeout: 10
  }}
}}
accounts {{
  {ACCOUNT} {{
    jetstream: enabled
    users: [
{chr(10).join(users)}
    ]
  }}
}}
"""


def _services_user(password: str) -> str:
    return (
        f"      {{ user: {_quote(SERVICES_USER)}, password: {_quote(password)}, "
        f'allowed_connection_types: ["STANDARD"] }}'
    )


def _gateway_user(gateway: EnrolledGateway) -> str:
    """One gateway: its own prefix and the server's inner subjects by which MQTT sessions get QoS 1.

    `x` and `x.>` are both needed, for an MQTT filter "x/#" includes x itself. `$MQTT.sub.>` is where the
    server delivers QoS 1 to its own sessions; clients that subscribe to it by name are refused by the server.
    """
    prefix = gateway.address.prefix.replace("/", ".")
    publish = _list([f"{prefix}.up.>"])
    subscribe = _list([f"{prefix}.down", f"{prefix}.down.>", "$MQTT.sub.>", "$MQTT.deliver.pubrel.>"])
    return (
        f"      {{ user: {_quote(gateway.user)}, allowed_connection_types: [\"MQTT\"], permissions: {{ "
        f"publish: {publish}, subscribe: {subscribe} }} }}"
    )


def _list(subjects: list[str]) -> str:
    return "[" + ", ".join(_quote(subject) for subject in subjects) + "]"


def _quote(text: str) -> str:
    """A quoted string of nats-server's configuration language."""
    if any(ord(letter) < 32 for letter in text):
        raise ValueError(f"{text!r} holds a control character: it cannot stand in the broker's configuration")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
