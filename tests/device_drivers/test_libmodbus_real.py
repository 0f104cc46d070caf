"""A libmodbus device as the independent peer: TCP, RTU on a pty pair, RTU over TCP, TLS. It is C, compiled here.

Every type and order is written into the device's registers by arithmetic of this test, not by the product, and that
arithmetic is held against the bytes that the conventions print.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import shutil
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from device_drivers.driver import LineUnreachable
from device_drivers.links import ModbusLink, open_modbus_line
from device_drivers.poller import LinePoller
from device_model.child_process import free_ports
from device_model.errors import PeerRefused, PeerSilent
from device_model.ports import LineReply, LineRequest
from device_model.profile import DeviceProfile, ProfilePoint, RegisterType, Table, WordOrder
from device_model.site import Line, LineKind
from device_model.system_clock import SystemClock
from tests.device_drivers.rig import RTU, entry, point, profile, until
from tests.device_drivers.test_links_real import Seen, pty_pair

pytestmark = pytest.mark.real
SOURCE = Path(__file__).parent / "peers" / "modbus_peer.c"
KINDS = ("tcp", "rtu", "rtu_tcp", "tls")
NUMBERS = {
    "u16": (0, 0x1234, 65535), "s16": (-1, -32768, 4660), "u32": (0x12345678, 0xFFFFFFFE), "s32": (-2, -2**31, 70000),
    "u64": (0x123456789ABCDEF0, 2**63 - 5), "s64": (-3, -2**63, 2**40 + 1), "f32": (123.456, -0.5),
    "f64": (1e-7, -123.456),
}
CODES = {"u16": ">H", "s16": ">h", "u32": ">I", "s32": ">i", "u64": ">Q", "s64": ">q", "f32": ">f", "f64": ">d"}
ORDERS = {"abcd": ("high_first", False), "cdab": ("low_first", False), "badc": ("high_first", True),
          "dcba": ("low_first", True)}


async def command(*words: str) -> None:
    child = await asyncio.create_subprocess_exec(*words, stderr=asyncio.subprocess.PIPE)
    _, said = await child.communicate()
    assert child.returncode == 0, said.decode()


def tool(name: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} is needed: make system-packages"
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("peer") / "modbus_peer"
    await command(tool("gcc"), "-Wall", "-Werror", "-O1", "-I/usr/include/modbus", "-o", str(built), str(SOURCE),
                  "-lmodbus")
    return built


class Device:
    """The running peer: what was written into it."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self.child = child
        self.written: list[str] = []

    async def listen(self) -> None:
        assert self.child.stdout is not None
        async for line in self.child.stdout:
            self.written.append(line.decode().strip())


@asynccontextmanager
async def device(program: Path, where: tuple[str, str], content: Iterable[str]) -> AsyncIterator[tuple[Device, int]]:
    child = await asyncio.create_subprocess_exec(
        str(program), *where, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write("".join(f"{line}\n" for line in (*content, "go")).encode())
    await child.stdin.drain()
    word, port = (await child.stdout.readline()).decode().split()
    assert word == "ready"
    running = Device(child)
    listening = asyncio.create_task(running.listen())
    try:
        yield running, int(port)
    finally:
        child.kill()
        await child.wait()
        await listening


@asynccontextmanager
async def relay(*words: str, port: int) -> AsyncIterator[None]:
    """socat in front of the device, once its port answers."""
    child = await asyncio.create_subprocess_exec(tool("socat"), *words, stderr=asyncio.subprocess.DEVNULL)
    try:
        await until(lambda: listens(port))
        yield
    finally:
        child.kill()
        await child.wait()


def listens(port: int) -> bool:
    """Whether a socket listens there, without connecting to it: the relay serves one caller."""
    wanted = f":{port:04X} "
    return any(wanted in line and " 0A " in line for line in Path("/proc/net/tcp").read_text("ascii").splitlines())


@asynccontextmanager
async def peer(kind: str, program: Path, folder: Path, content: Iterable[str]) -> AsyncIterator[tuple[Device, Line]]:
    if kind in ("tcp", "tls"):
        async with device(program, ("tcp", "0"), content) as (running, port):
            if kind == "tcp":
                yield running, Line("line", LineKind.MODBUS_TCP, "127.0.0.1", port)
                return
            (front,), keys = free_ports(1), make_keys(folder)
            async with relay(f"OPENSSL-LISTEN:{front},bind=127.0.0.1,reuseaddr,fork,cert={keys['server']},"
                             f"cafile={keys['ca']},verify=1", f"TCP:127.0.0.1:{port}", port=front):
                yield running, Line("line", LineKind.MODBUS_TLS, "127.0.0.1", front, ca_file=keys["ca"],
                                    certificate_file=keys["gateway"])
        return
    async with pty_pair(folder) as (near, far), device(program, ("rtu", far), content) as (running, _):
        if kind == "rtu":
            yield running, msgspec.structs.replace(RTU, port_path=near)
            return
        (front,) = free_ports(1)
        async with relay(f"TCP-LISTEN:{front},bind=127.0.0.1,reuseaddr,fork", f"FILE:{near},raw,echo=0", port=front):
            yield running, Line("line", LineKind.MODBUS_RTU_TCP, "127.0.0.1", front)


def make_keys(folder: Path) -> dict[str, str]:
    """A CA, a server for 127.0.0.1 and a gateway, each with key and certificate in one PEM; and a stranger."""
    now = datetime.datetime.now(datetime.UTC)
    made: dict[str, str] = {}
    authority: tuple[ec.EllipticCurvePrivateKey, x509.Name] | None = None
    for who in ("ca", "server", "gateway", "stranger"):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, who)])
        signer, issuer = authority if authority and who != "stranger" else (key, name)
        certificate = (
            x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=who == "ca", path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                           critical=False)
            .sign(signer, hashes.SHA256()))
        if who == "ca":
            authority = key, name
        path = folder / f"{who}.pem"
        own = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                serialization.NoEncryption())
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + (b"" if who == "ca" else own))
        made[who] = str(path)
    return made


def words_of(kind: str, number: float, order: str) -> list[int]:
    octets = struct.pack(CODES[kind], number)
    words = [octets[i:i + 2] for i in range(0, len(octets), 2)]
    word_order, swap = ORDERS[order]
    if word_order == "low_first":
        words.reverse()
    return [int.from_bytes(word, "little" if swap else "big") for word in words]


def every_type() -> tuple[list[str], list[ProfilePoint], dict[str, float | bool]]:
    """Registers for every type, order and table; the points that name them; what they must read as."""
    content: list[str] = []
    points: list[ProfilePoint] = []
    wanted: dict[str, float | bool] = {}
    address = 0
    for kind, numbers in NUMBERS.items():
        for order, (word_order, swap) in ORDERS.items():
            for index, number in enumerate(numbers):
                for table, letter in ((Table.HOLDING, "h"), (Table.INPUT, "i")):
                    name = f"{kind}_{order}_{index}_{letter}"
                    points.append(point(name, address, table=table, type=RegisterType(kind), byte_swap=swap,
                                        word_order=WordOrder(word_order), poll_interval_s=0.2))
                    words = words_of(kind, number, order)
                    content += [f"{letter} {address + i} {word}" for i, word in enumerate(words)]
                    wanted[f"d.{name}"] = number
                address += len(words)
    parts = (("low", RegisterType.U8_LOW, 0x34), ("high", RegisterType.U8_HIGH, 0xFE),
             ("signed", RegisterType.S8_LOW, 0x34))
    for name, part, number in parts:
        points.append(point(name, 800, type=part, poll_interval_s=0.2))
        wanted[f"d.{name}"] = number
    points.append(point("minus", 801, type=RegisterType.S8_LOW, poll_interval_s=0.2))
    points.append(point("masked", 800, mask=0x0FF0, shift=4, poll_interval_s=0.2))
    wanted |= {"d.minus": -2, "d.masked": 0xE3}
    content += [f"h 800 {0xFE34}", f"h 801 {0x01FE}"]
    for bit in range(16):
        points.append(point(f"bit{bit}", 800, type=RegisterType.BIT, bit=bit, quantity="leak", poll_interval_s=0.2))
        wanted[f"d.bit{bit}"] = bool(0xFE34 >> bit & 1)
    for at in range(11):
        for table, letter in ((Table.COIL, "c"), (Table.DISCRETE_INPUT, "d")):
            points.append(point(f"{letter}{at}", at, table=table, type=RegisterType.BIT, quantity="leak",
                                invert=at == 5, poll_interval_s=0.2))
            on = (0b10110100110 >> at & 1) ^ (letter == "d")
            content.append(f"{letter} {at} {on}")
            wanted[f"d.{letter}{at}"] = bool(on) is not (at == 5)
    return content, points, wanted


async def watched(line: Line, of: DeviceProfile) -> tuple[Seen, LinePoller, asyncio.Task[None]]:
    seen = Seen()
    poller = LinePoller(line, [entry("d", of)], open_modbus_line(line), SystemClock(), seen)
    return seen, poller, asyncio.create_task(poller.run())


@pytest.mark.parametrize("kind", KINDS)
async def test_every_type_and_order_reads_equal(kind: str, program: Path, tmp_path: Path) -> None:
    content, points, wanted = every_type()
    async with peer(kind, program, tmp_path, content) as (_, line):
        seen, _, task = await watched(line, profile(*points, reply_timeout_s=10.0, late_reply_max_s=0.1))
        await until(lambda: seen.values.keys() >= wanted.keys())
        task.cancel()
        await asyncio.wait([task])
    for name, number in wanted.items():
        reading = seen.values[name]
        if "f32" in name:
            assert reading.value == pytest.approx(number, rel=1e-6), reading
        else:
            assert reading.value == number and type(reading.value) is type(number), reading


def test_the_orders_are_those_that_the_conventions_print() -> None:
    printed = {"abcd": "42f6e979", "cdab": "e97942f6", "badc": "f64279e9", "dcba": "79e9f642"}
    for order, octets in printed.items():
        assert "".join(f"{word:04x}" for word in words_of("f32", 123.456, order)) == octets


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_written_stands_there(kind: str, program: Path, tmp_path: Path) -> None:
    points, wanted = [], []
    address = 0
    for name, numbers in NUMBERS.items():
        for order, (word_order, swap) in ORDERS.items():
            points.append(point(f"{name}_{order}", address, type=RegisterType(name), writable=True, byte_swap=swap,
                                word_order=WordOrder(word_order), poll_interval_s=5.0))
            words = words_of(name, numbers[0], order)
            wanted.append((f"{name}_{order}", numbers[0],
                           f"{6 if len(words) == 1 else 16} {address} " + " ".join(map(str, words))))
            address += len(words)
    points += [point("coil", 3, quantity="relay", table=Table.COIL, type=RegisterType.BIT, writable=True),
               point("bit", 200, quantity="relay", type=RegisterType.BIT, bit=4, writable=True),
               point("busy", 920, writable=True, poll_interval_s=5.0),
               point("absent", 2000, writable=True, poll_interval_s=5.0)]
    wanted += [("coil", True, "5 3 1"), ("bit", True, f"22 200 {0xFF1F}"), ("bit", False, f"22 200 {0xFF0F}")]
    async with peer(kind, program, tmp_path, [f"h 200 {0xFF0F}"]) as (running, line):
        seen, poller, task = await watched(line, profile(*points, reply_timeout_s=10.0, late_reply_max_s=0.1))
        for name, number, _ in wanted:
            await poller.write("d", name, number)
        for name, code in (("busy", 6), ("absent", 2)):
            with pytest.raises(PeerRefused) as refused:
                await poller.write("d", name, 1)
            assert refused.value.code == code
        task.cancel()
        await asyncio.wait([task])
        await until(lambda: len(running.written) >= len(wanted))
    assert running.written == [line for _, _, line in wanted]
    assert not any(r.value is not None for r in seen.values.values() if r.point in ("d.busy", "d.absent"))


async def heard(link: ModbusLink, request: LineRequest) -> LineReply:
    """The answer. libmodbus is deaf for half a second after a refusal and throws away what it hears, and on a loaded
    machine that half second may begin late: whoever is not heard asks again."""
    for _ in range(12):
        try:
            return await link.exchange(request, timeout_s=5.0)
        except PeerSilent:
            continue
    raise AssertionError(f"{request} is not answered at all")


@pytest.mark.parametrize("kind", KINDS)
async def test_exceptions_are_reasons_and_never_numbers(kind: str, program: Path, tmp_path: Path) -> None:
    of = profile(point("good", 1, poll_interval_s=0.05), point("busy", 920, poll_interval_s=0.05),
                 point("failed", 960, poll_interval_s=0.05), point("absent", 1500, poll_interval_s=0.05),
                 reply_timeout_s=1.0, late_reply_max_s=0.1, read_holes=False)
    async with peer(kind, program, tmp_path, ["h 1 77"]) as (_, line):
        seen, _, task = await watched(line, of)
        await until(lambda: len(seen.values) == 4)
        task.cancel()
        await asyncio.wait([task])
        link = open_modbus_line(line)
        written = await heard(link, LineRequest(1, 23, 1, 1, (40, 1)))
        assert written.payload == b"\0\x4d"
        with pytest.raises(PeerRefused) as refused:
            await heard(link, LineRequest(1, 3, 890, 500))
        assert refused.value.code == 3
        await link.close()
    assert seen.values["d.good"].value == 77
    assert {seen.values[f"d.{name}"].reason for name in ("busy", "failed", "absent")} == {"refused"}
    assert all(seen.values[f"d.{name}"].value is None for name in ("busy", "failed", "absent"))


async def test_tls_is_only_with_the_right_keys(program: Path, tmp_path: Path) -> None:
    async with peer("tls", program, tmp_path, ["h 1 77"]) as (_, line):
        read = LineRequest(1, 3, 1, 1)
        good = open_modbus_line(line)
        assert (await good.exchange(read, timeout_s=30.0)).payload == b"\0\x4d"
        await good.close()
        wrong = {"ca_file": str(tmp_path / "stranger.pem"), "host": "localhost",
                 "certificate_file": str(tmp_path / "absent.pem")}
        for key, value in wrong.items():  # not signed by that CA; another name; a key that does not load
            link = open_modbus_line(msgspec.structs.replace(line, **{key: value}))
            with pytest.raises(LineUnreachable):
                await link.exchange(read, timeout_s=1.0)
            await link.close()
        for key, value in (("certificate_file", ""), ("certificate_file", str(tmp_path / "stranger.pem"))):
            link = open_modbus_line(msgspec.structs.replace(line, **{key: value}))
            with pytest.raises(Exception, match=r".") as refused:  # TLS 1.3 tells a client late that it is not let in
                await link.exchange(read, timeout_s=0.5)
            assert type(refused.value).__name__ in ("LineUnreachable", "PeerSilent")
            await link.close()
