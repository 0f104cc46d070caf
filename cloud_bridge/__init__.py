"""cloud_bridge: speaks outward. Lanes of the outbox, the uplink, the MQTT link; commands on their way down."""

from cloud_bridge.flights import SendOrder
from cloud_bridge.lanes import Outbox

__all__ = ["Outbox", "SendOrder"]
