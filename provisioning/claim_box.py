"""The gateway's side of claiming (I/O): its folder of keys, its code, what it asks the cloud over HTTP.

    <folder>/key.pem          0600   made here, never leaves
             claim.json       0600   the code that is shown now, until it is used or over
             certificate.pem  ca.pem
             identity.json           who this gateway is, and where its cloud is

Answers are believed by the code or by the CA's signature (claim.py), not by the transport: so a box whose clock says
1970, to which every TLS certificate is from the future, still gets its certificate and the true time.
"""

from __future__ import annotations

import os
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog
from cryptography import x509

from device_model.clock import SECOND_US
from device_model.errors import LocalFault, PeerRefused, PeerSilent
from device_model.messages import GatewayAddress
from provisioning.authority import make_request, write_private, write_public
from provisioning.claim import UNCLAIMED, Kind, Word, make_ask, make_offer, open_grant, open_word
from provisioning.claim_code import CODE_BYTES, CODE_LASTS_S, make_code, secret_of

MODEL = "Tocsin gateway"
WITHIN_S = 15.0
ANSWER_MAX = 4 * 1024 * 1024
log = structlog.get_logger("tocsin.claim")
T = TypeVar("T")


class ShownCode(msgspec.Struct, frozen=True):
    """The code of now. mono_s and boot: the monotonic moment that it was made at, in that boot: its end does not
    hang on a clock that may step from 1970 to today meanwhile."""

    code: str
    nonce: str
    cloud: str
    made_mono_s: float
    boot: str
    asset: str = ""

    @property
    def address(self) -> str:
        """What the QR label holds: opening it leads to the claim page with the code filled in. The part behind #
        never reaches a server's log."""
        return f"{self.cloud.rstrip('/')}/claim#{self.code}"

    def left_s(self) -> float:
        """How long it is good for; 0 when it is over."""
        if self.boot != _boot():
            return 0.0
        return max(0.0, CODE_LASTS_S - (time.monotonic() - self.made_mono_s))


class Identity(msgspec.Struct, frozen=True):
    """Who this gateway is. host, port: the broker."""

    gateway: str
    cloud: str
    host: str
    port: int
    site_name_en: str = ""
    site_name_zh: str = ""
    known_site: bool = False

    @property
    def address(self) -> GatewayAddress:
        """Which gateway of which site."""
        return GatewayAddress.of_common_name(self.gateway)


class Renewed(msgspec.Struct, frozen=True):
    """What a renewal brought. ahead_us: how far the cloud's time is ahead of this machine's clock."""

    at_us: int
    ahead_us: int
    until_us: int

    def words(self) -> str:
        """For people and the log: how the time came."""
        off_s = self.ahead_us / SECOND_US
        clock = ("this machine's clock agrees" if abs(off_s) < 60 else
                 f"this machine's clock is {abs(off_s):.0f} s {'behind' if off_s > 0 else 'ahead'}")
        return f"renewed; time by the cloud, signed by its authority for this very question; {clock}"


class ClaimBox:
    """The folder of a gateway's keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key_file, self.certificate_file = folder / "key.pem", folder / "certificate.pem"
        self.ca_file, self._claim, self._identity = folder / "ca.pem", folder / "claim.json", folder / "identity.json"

    def identity(self) -> Identity | None:
        """Who this gateway is; None while nobody has claimed it. LocalFault: damaged."""
        return _read(self._identity, Identity)

    def code(self, cloud: str, asset: str = "") -> ShownCode:
        """The code to show now: the one that stands, or a new one once that is over, or for another cloud."""
        shown = _read(self._claim, ShownCode)
        if shown is not None and shown.left_s() > 0 and shown.cloud == cloud:
            return shown
        return self.new_code(cloud, asset)

    def shown(self) -> ShownCode | None:
        """The code that stands, without making one; None where there is none or it is over."""
        shown = _read(self._claim, ShownCode)
        return shown if shown is not None and shown.left_s() > 0 else None

    def new_code(self, cloud: str, asset: str = "") -> ShownCode:
        """Throw the old code away. LocalFault where the folder cannot be written."""
        if not cloud.startswith(("http://", "https://")):
            raise LocalFault(f"{cloud!r} is no address of a cloud: write https://host")
        shown = ShownCode(make_code(os.urandom(CODE_BYTES)), os.urandom(16).hex(), cloud, time.monotonic(), _boot(),
                          asset)
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_private(self._claim, msgspec.json.encode(shown))
        except OSError as error:
            raise LocalFault(f"{self.folder} cannot be written: {error.strerror}; run as the gateway's user"
                             ) from error
        return shown

    def _same(self, request: bytes) -> bytes:
        """The request of the first offer: signatures differ each time, and an offer repeated must be the same one."""
        file = self.folder / "request.pem"
        if file.exists():
            kept = file.read_bytes()
            if x509.load_pem_x509_csr(kept).public_key() == x509.load_pem_x509_csr(request).public_key():
                return kept
        write_public(file, request)
        return request

    def collect(self, shown: ShownCode) -> Identity | None:
        """Tell the cloud that this gateway waits under the code, and fetch the certificate if somebody has claimed
        it by now; None while nobody has.

        PeerRefused: the code is over or contested, or another than the cloud answers; PeerSilent; LocalFault."""
        secret = secret_of(shown.code)
        request = self._same(make_request(None, self.key_file, named=UNCLAIMED))
        body = _post(f"{shown.cloud}/api/claims/offers",
                     make_offer(secret, request, shown.nonce, model=MODEL, asset=shown.asset))
        if not body:
            return None
        try:
            grant = open_grant(body, secret, shown.nonce)
        except (ValueError, msgspec.DecodeError) as error:
            raise PeerRefused(str(error)) from error
        identity = Identity(grant.gateway, shown.cloud, grant.host, grant.port, grant.site_name_en,
                            grant.site_name_zh, grant.known_site)
        try:
            write_public(self.certificate_file, grant.certificate.encode())
            write_public(self.ca_file, grant.ca.encode())
            write_private(self._identity, msgspec.json.encode(identity))
            self._claim.unlink(missing_ok=True)
        except OSError as error:
            raise LocalFault(f"{self.folder} cannot be written: {error.strerror}") from error
        log.info("claimed", gateway=grant.gateway)
        return identity

    # -- once it is somebody -------------------------------------------------------------------------------------

    def renew(self) -> Renewed:
        """Ask for the next certificate; also when the present one is over, and whatever the clock says."""
        identity = self._known()
        request = make_request(identity.address, self.key_file)
        word = self._ask(identity, "renew", request.decode())
        certificate = x509.load_pem_x509_certificate(word.body.encode())
        if certificate.public_key() != x509.load_pem_x509_csr(request).public_key():
            raise PeerRefused("the new certificate is for another key")
        try:
            write_public(self.certificate_file, word.body.encode())
        except OSError as error:
            raise LocalFault(f"the new certificate cannot be written: {error.strerror}") from error
        until_us = round(certificate.not_valid_after_utc.timestamp() * SECOND_US)
        return Renewed(word.at_us, word.at_us - _wall_us(), until_us)

    def hand_in(self, site_text: str) -> None:
        """Give the cloud the site file, so that it knows the names of what it hears."""
        self._ask(self._known(), "site", site_text)

    def fetch_site(self) -> str:
        """The site file that this gateway's predecessor handed in; "" where there is none."""
        return self._ask(self._known(), "fetch", "").body

    def _known(self) -> Identity:
        identity = self.identity()
        if identity is None:
            raise LocalFault(f"{self.folder}: this gateway has not been claimed yet: tocsin provision code")
        return identity

    def _ask(self, identity: Identity, kind: Kind, body: str) -> Word:
        nonce = os.urandom(16).hex()
        try:
            ask = make_ask(self.key_file.read_bytes(), identity.gateway, kind, body, nonce, _wall_us())
            answer = _post(f"{identity.cloud}/api/gateways/ask", ask)
            return open_word(answer, self.ca_file.read_bytes(), identity.gateway, nonce)
        except (ValueError, msgspec.DecodeError) as error:
            raise PeerRefused(str(error)) from error
        except OSError as error:
            raise LocalFault(f"{self.folder}: the gateway's keys cannot be read: {error}") from error


def _post(url: str, body: bytes) -> bytes:
    return _send(urllib.request.Request(url, body, {"content-type": "application/json"}))  # noqa: S310  http(s) only


def _send(request: urllib.request.Request) -> bytes:
    """The answer's body. With TLS the transport is checked if it can be; where this machine's clock is wrong it
    cannot, and the answer must prove itself, as it must anyway."""
    try:
        return _opened(request, None)
    except ssl.SSLCertVerificationError:
        unchecked = ssl.create_default_context()
        unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
        log.warning("the cloud's web certificate cannot be checked; its answer proves itself", url=request.host)
        return _opened(request, unchecked)


def _opened(request: urllib.request.Request, context: ssl.SSLContext | None) -> bytes:
    try:
        with urllib.request.urlopen(request, timeout=WITHIN_S, context=context) as answer:  # noqa: S310
            body: bytes = answer.read(ANSWER_MAX + 1)
    except urllib.error.HTTPError as error:
        said = error.read(2000)
        try:
            reason = str(msgspec.json.decode(said)["refusal"])
        except (msgspec.DecodeError, KeyError, TypeError):
            reason = f"HTTP {error.code}"
        raise PeerRefused(f"the cloud refuses: {reason}") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise error.reason from error
        raise PeerSilent(f"the cloud {request.host} does not answer: {error.reason}") from error
    except OSError as error:
        raise PeerSilent(f"the cloud {request.host} does not answer: {error}") from error
    if len(body) > ANSWER_MAX:
        raise PeerRefused("the cloud's answer is too large")
    return body


def _read(file: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise LocalFault(f"{file} cannot be read: {error}; delete it to begin anew") from error


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _wall_us() -> int:
    return time.time_ns() // 1000
