"""Mosquitto's side of a site broker (pure): a template in which each sensor speaks under its own name alone.

    user "tocsin" (the gateway)   reads all, writes set and command topics
    user NAME (a sensor)          writes and reads what is below its own name, nothing else
"""

from __future__ import annotations

TEMPLATE = """\
# /etc/mosquitto/tocsin.acl: who may speak where on the broker of a site.
# The gateway reads everything and writes only where devices take orders.
user tocsin
topic read #
topic write +/+/set
topic write +/+/command/#
topic write cmnd/#
# Each device that signs in with its own name (or certificate) speaks below that name, and hears its orders.
pattern readwrite zigbee2mqtt/%u/#
pattern readwrite tocsin/sensors/%u/#
pattern write tele/%u/#
pattern write stat/%u/#
pattern read cmnd/%u/#
"""
CONFIGURATION = """\
# /etc/mosquitto/conf.d/tocsin.conf
per_listener_settings true
listener 8883
allow_anonymous false
cafile /etc/mosquitto/tocsin/ca.pem
certfile /etc/mosquitto/tocsin/broker.pem
keyfile /etc/mosquitto/tocsin/broker.key
require_certificate true
use_identity_as_username true
acl_file /etc/mosquitto/tocsin.acl
max_packet_size 262144
message_size_limit 262144
"""


def site_broker_files() -> dict[str, str]:
    """File name ─► content, as an installer puts them below /etc/mosquitto."""
    return {"tocsin.acl": TEMPLATE, "tocsin.conf": CONFIGURATION}
