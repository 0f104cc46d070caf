"""BoundClient (I/O): an MQTT client whose connection goes over one network interface, whatever the routes say.

So Ethernet and cellular reach the same broker by two ways. Linux lets any program bind a socket that is not bound yet
to an interface (SO_BINDTODEVICE, since 5.7); an older kernel wants CAP_NET_RAW, and then the way is down and says so.
"""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import Any

import gmqtt
from gmqtt.mqtt.connection import MQTTConnection
from gmqtt.mqtt.protocol import MQTTProtocol


class BoundClient(gmqtt.Client):  # type: ignore[misc]  # gmqtt has no types
    """A `gmqtt.Client` with an interface of its own; "" for whichever."""

    interface = ""

    async def _create_connection(self, host: str, port: int, ssl: Any, clean_session: bool, keepalive: int) -> Any:
        if not self.interface:
            return await super()._create_connection(host, port, ssl, clean_session, keepalive)
        # As gmqtt begins each connection; only the socket is ours.
        self._exit_reconnecting_state()
        self._package_handler.clear_topics_aliases()
        self._connack_received.clear()
        self._connection_lost.clear()
        link = await connected_over(self.interface, host, port)
        loop = asyncio.get_running_loop()
        factory = partial(MQTTProtocol, connection_state=self._connection_state,
                          id_generator=self._package_handler.id_generator)
        try:
            transport, protocol = await loop.create_connection(
                factory, sock=link, ssl=ssl or None, server_hostname=host if ssl else None)
        except BaseException:
            link.close()
            raise
        return MQTTConnection(transport, protocol, clean_session, keepalive,
                              package_handler=self._package_handler, logger=self._logger)


async def connected_over(interface: str, host: str, port: int) -> socket.socket:
    """A connected TCP socket over that interface. Raises OSError: no such interface, no right, no way there."""
    loop = asyncio.get_running_loop()
    why: OSError | None = None
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        link = socket.socket(family, kind, protocol)
        link.setblocking(False)
        try:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            await loop.sock_connect(link, address)
        except OSError as error:
            link.close()
            why = error
        except BaseException:
            link.close()
            raise
        else:
            return link
    raise why or OSError(f"{host} has no address")
