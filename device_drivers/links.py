"""Links (I/O): field lines and the site broker as the ports that the drivers are written against.

pymodbus opens the line and finds the frames; what is in them is kept as raw bytes by our own decoder, because
pymodbus's would take a short reply, and give a late one to the next request (DESIGN section 5). Whatever may
leave a stray reply behind ends the connection (TCP) or holds the line (serial), so that nothing late arrives.

    exchange() ─► connect if need be ─► send ─► one frame of that unit and transaction ─► LineReply
                      │ cannot                       │ none, or doubt
                      ▼                              ▼
                LineUnreachable              PeerSilent / PeerGarbled; TCP: connection closed
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.client.base import ModbusBaseClient
from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerType
from pymodbus.pdu import DecodePDU, ModbusPDU

from device_drivers.driver import LineUnreachable
from device_drivers.lls_link import LlsLink
from device_drivers.mqtt_client import GmqttClientLink
from device_drivers.reply_check import FILE_REFERENCE, file_write_payload
from device_model.errors import PeerGarbled, PeerRefused, PeerSilent
from device_model.ports import LineExchange, LineReply, LineRequest, MessageLink
from device_model.site import Line, LineKind

CONNECT_TIMEOUT_S = 3.0  # a host that does not answer costs the line this long, once per reconnect
_TLS_PORT = 802  # Modbus/TCP Security, as registered
_READS = (1, 2, 3, 4, 20, 23)  # replies whose first byte counts the rest
_SAFE_TO_REPEAT = (1, 2, 3, 4, 20, 43)
_PARITY = {"none": "N", "even": "E", "odd": "O"}

# Every failure is raised by us and reported once by the driver; pymodbus would print each of them.
logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)
logging.getLogger("pymodbus_internal").setLevel(logging.CRITICAL)


class _RawPdu(ModbusPDU):
    """A request or reply as function code and bytes, nothing interpreted."""

    def __init__(self, function: int, payload: bytes, unit: int = 0) -> None:
        super().__init__(dev_id=unit)
        self.function_code = function
        self.payload = payload

    def encode(self) -> bytes:
        return self.payload


class _RawDecoder(DecodePDU):
    """Finds frame sizes as pymodbus does, but keeps the bytes; never raises inside the protocol."""

    def __init__(self) -> None:
        super().__init__(False)

    def decode(self, frame: bytes) -> ModbusPDU | None:
        return _RawPdu(frame[0], bytes(frame[1:]))


def request_payload(request: LineRequest) -> bytes:
    """The bytes after the function code. ValueError for a function that is not spoken here."""
    address = request.address.to_bytes(2, "big")
    values = request.values
    match request.function:
        case 1 | 2 | 3 | 4:
            return address + request.count.to_bytes(2, "big")
        case 5:
            return address + (b"\xff\x00" if values[0] else b"\x00\x00")
        case 6:
            return address + values[0].to_bytes(2, "big")
        case 15:
            packed = sum(1 << i for i, value in enumerate(values) if value).to_bytes((len(values) + 7) // 8, "little")
            return address + len(values).to_bytes(2, "big") + bytes((len(packed),)) + packed
        case 16:
            words = b"".join(value.to_bytes(2, "big") for value in values)
            return address + len(values).to_bytes(2, "big") + bytes((len(words),)) + words
        case 22:
            return address + values[0].to_bytes(2, "big") + values[1].to_bytes(2, "big")
        case 20:  # values: the file
            return (bytes((7, FILE_REFERENCE)) + values[0].to_bytes(2, "big") + address
                    + request.count.to_bytes(2, "big"))
        case 21:  # values: the file, then the registers
            return file_write_payload(request)
        case 23:  # values: where to write, then the registers; what is written is written before the read
            words = b"".join(value.to_bytes(2, "big") for value in values[1:])
            return (address + request.count.to_bytes(2, "big") + values[0].to_bytes(2, "big")
                    + (len(values) - 1).to_bytes(2, "big") + bytes((len(words),)) + words)
        case 43:
            return bytes(values)
    raise ValueError(f"function {request.function} is not spoken here")


class ModbusLink:
    """One field line; implements `ports.LineExchange`. Requests must not overlap: one master per line."""

    def __init__(self, line: Line, watch: Callable[[bool, bytes], None] | None = None) -> None:
        """watch: told of every piece of bytes, (sent?, bytes); for diagnosis."""
        self._line = line
        self._watch = watch
        self._client: ModbusBaseClient | None = None
        self._in_flight = False
        self._heard = 0  # bytes that came since the request was sent
        self._stray = False  # bytes came while nothing was asked
        self._quiet_at = 0.0  # serial: when the bus will have been silent for 3.5 characters
        self._serial = line.kind is LineKind.MODBUS_RTU
        self._rtu = self._serial or line.kind is LineKind.MODBUS_RTU_TCP
        # 1 start, 8 data, parity or second stop, 1 stop: 11 bits; above 19200 baud the standard fixes 1.75 ms.
        self._gap_s = (1.75e-3 if line.baud > 19200 else 3.5 * 11 / line.baud) if self._serial else 0.0

    async def exchange(self, request: LineRequest, *, timeout_s: float) -> LineReply:
        """One request, one reply. Raises LineUnreachable, PeerSilent, PeerRefused, PeerGarbled."""
        pdu = _RawPdu(request.function, request_payload(request), request.unit)
        reused = self._client is not None and self._client.connected
        try:
            return await self._once(pdu, request, timeout_s)
        except _ConnectionGone as gone:
            # The far end had closed an idle connection: that says nothing of the device. Reads are asked again.
            if not reused or self._serial or request.function not in _SAFE_TO_REPEAT:
                raise PeerSilent(str(gone)) from gone
        try:
            return await self._once(pdu, request, timeout_s)
        except _ConnectionGone as gone:
            raise PeerSilent(str(gone)) from gone

    async def drain(self, hold_s: float) -> None:
        """Wait `hold_s` on a serial bus (also behind RTU over TCP); what arrives is discarded."""
        if self._rtu:
            await asyncio.sleep(hold_s)
            self._stray = False

    async def close(self) -> None:
        """Let the line go."""
        self._drop()

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def _once(self, pdu: _RawPdu, request: LineRequest, timeout_s: float) -> LineReply:
        client = await self._connected(timeout_s)
        await self._bus_quiet()
        client.ctx.comm_params.timeout_connect = timeout_s
        self._heard, self._stray, self._in_flight = 0, False, True
        try:
            reply = await client.execute(False, pdu)
        except (ModbusException, OSError, TimeoutError) as problem:
            if not client.connected:
                self._drop()
                raise _ConnectionGone(f"{self._name()}: connection lost while waiting: {problem}") from problem
            self._after_doubt()
            if self._heard:
                raise PeerGarbled(f"unit {request.unit}: {self._heard} bytes came, none a reply to this") from problem
            raise PeerSilent(f"unit {request.unit}: no answer within {timeout_s:g} s") from problem
        except asyncio.CancelledError:
            self._drop()  # its reply may still come
            raise
        finally:
            self._in_flight = False
            self._quiet_at = asyncio.get_running_loop().time() + self._gap_s
        return self._checked(request, pdu, reply)

    def _checked(self, request: LineRequest, pdu: _RawPdu, reply: ModbusPDU) -> LineReply:
        payload = reply.payload if isinstance(reply, _RawPdu) else b""
        function = reply.function_code
        fault = ""
        if not self._rtu and reply.transaction_id != pdu.transaction_id:
            fault = f"transaction {reply.transaction_id} answered to {pdu.transaction_id}"
        elif reply.dev_id != request.unit:
            fault = f"unit {reply.dev_id} answered for unit {request.unit}"
        elif function == request.function | 0x80 and len(payload) == 1:
            raise PeerRefused(f"unit {request.unit}: exception {payload[0]} to function {request.function} "
                              f"at {request.address}", payload[0])
        elif function != request.function:
            fault = f"function {function} answered to {request.function}"
        elif function in _READS and (not payload or payload[0] != len(payload) - 1):
            fault = f"byte count {payload[0] if payload else 'missing'} but {max(0, len(payload) - 1)} bytes came"
        if fault:
            self._after_doubt()
            raise PeerGarbled(f"unit {request.unit}: {fault}")
        return LineReply(reply.dev_id, function, payload[1:] if function in _READS else payload)

    def _after_doubt(self) -> None:
        """A stray reply may be under way: on TCP it dies with its connection; on serial the driver drains."""
        if not self._serial:
            self._drop()

    async def _bus_quiet(self) -> None:
        """t3.5 between frames; and a bus on which something arrived unasked gets a moment to fall silent."""
        wait = self._quiet_at - asyncio.get_running_loop().time()
        if self._stray and self._rtu:
            wait = max(wait, 20 * self._gap_s, 0.02)
        if wait > 0:
            await asyncio.sleep(wait)

    async def _connected(self, timeout_s: float) -> ModbusBaseClient:
        if self._client is not None and self._client.connected:
            return self._client
        self._drop()
        try:
            client = self._open()
        except (OSError, ValueError) as problem:  # keys of a TLS line that do not load
            raise LineUnreachable(f"{self._name()}: {problem}") from problem
        client.ctx.framer.decoder = _RawDecoder()
        client.ctx.comm_params.timeout_connect = max(timeout_s, CONNECT_TIMEOUT_S)
        self._client = client
        try:
            reached = await client.connect()
        except (ModbusException, OSError, ValueError) as problem:
            self._drop()
            raise LineUnreachable(f"{self._name()}: {problem}") from problem
        except asyncio.CancelledError:
            self._drop()
            raise
        if not reached:
            self._drop()
            raise LineUnreachable(f"{self._name()} {await self._why_not(client.ctx.comm_params.sslctx)}")
        return client

    async def _why_not(self, secure: ssl.SSLContext | None) -> str:
        """Why there is no connection. The client library keeps the reason of a refused handshake to itself."""
        if secure is not None:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    _, writer = await asyncio.open_connection(
                        self._line.host, self._line.port or _TLS_PORT, ssl=secure)
                writer.close()
            except ssl.SSLCertVerificationError as refused:
                return (f"shows a certificate that is refused ({refused.verify_message}): renew it at the device, or "
                        "correct ca_file of the line; and look at this machine's clock")
            except (OSError, TimeoutError):
                pass  # not reachable at all
        return "cannot be reached"

    def _open(self) -> ModbusBaseClient:
        line = self._line
        if self._serial:
            return AsyncModbusSerialClient(
                line.port_path, framer=FramerType.RTU, baudrate=line.baud, bytesize=8, parity=_PARITY[line.parity],
                stopbits=line.stop_bits, reconnect_delay=0, retries=0, trace_packet=self._trace,
                trace_connect=self._trace_connect,
            )
        client = AsyncModbusTcpClient(
            line.host, port=line.port or (_TLS_PORT if line.kind is LineKind.MODBUS_TLS else 502),
            framer=FramerType.RTU if self._rtu else FramerType.SOCKET, reconnect_delay=0, retries=0,
            trace_packet=self._trace, trace_connect=self._trace_connect,
        )
        if line.kind is LineKind.MODBUS_TLS:
            # Modbus/TCP Security carries the same MBAP frames inside TLS; pymodbus's own TLS framer leaves the
            # header out, so its TCP client is given the context instead.
            params = client.ctx.comm_params
            params.sslctx = ssl.create_default_context(cafile=line.ca_file or None)
            if line.certificate_file:  # Modbus/TCP Security lets nobody in who does not say who he is
                params.sslctx.load_cert_chain(line.certificate_file, line.key_file or None)
            client.ctx.init_setup_connect_listen(line.host, params.port)
        return client

    def _name(self) -> str:
        line = self._line
        return f"{line.id} ({line.port_path or f'{line.host}:{line.port}'})"

    def _trace(self, sending: bool, packet: bytes) -> bytes:
        if self._watch is not None:
            self._watch(sending, packet)
        if not sending:
            if self._in_flight:
                self._heard += len(packet)
            else:
                self._stray = True
        return packet

    def _trace_connect(self, connected: bool) -> None:
        """Without this, a request in flight would wait its whole time-out on a connection that is gone."""
        client = self._client
        if connected or not self._in_flight or client is None:
            return
        future = client.ctx.response_future
        if not future.done():
            future.set_exception(ConnectionResetError("closed by the other end"))


class _ConnectionGone(Exception):
    """The connection went while a request was in flight."""


def open_modbus_line(line: Line, watch: Callable[[bool, bytes], None] | None = None) -> LineExchange:
    """A line whose devices are asked: Modbus of any kind, or level probes. Opens nothing yet: the first exchange
    does. ValueError for an MQTT line."""
    if line.kind is LineKind.MQTT:
        raise ValueError(f"line {line.id} is MQTT")
    if line.kind.protocol == "lls":
        return LlsLink(line)
    return ModbusLink(line, watch)


def open_mqtt_line(line: Line, subscriptions: Sequence[str]) -> MessageLink:
    """The site broker, subscribed. Call within a running loop; connects and reconnects by itself."""
    return GmqttClientLink(line, subscriptions)
