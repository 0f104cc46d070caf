"""The cloud's desk for gateways that come (I/O): offers, claims, renewals, site files handed in.

    <state>/authority/claims.json   offers that wait, and what became of each; the code itself is never kept
    <state>/sites/a.b.c.d.yaml      the newest site file that each claimed gateway handed in

An offer is good for an hour and for one claim. What is refused is told to `told`, which the program writes into its
log and its audit: a code that nobody shows, a code used twice, two boxes under one code, an hour over, a request
that the code did not make, an ask that the enrolled key did not sign.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import structlog

from device_model.clock import DAY_US, SECOND_US
from device_model.errors import ConfigError, LocalFault, PeerRefused
from device_model.library import shipped_profiles
from device_model.messages import GatewayAddress
from device_model.site_file import parse_site
from provisioning.authority import Authority, write_private
from provisioning.claim import (
    UNCLAIMED,
    Grant,
    Offer,
    Word,
    ask_holds,
    make_grant,
    offer_holds,
    read_ask,
    read_offer,
    word_to_sign,
)
from provisioning.claim_code import CODE_LASTS_S, ClaimSecret, secret_of
from provisioning.identity import EnrolledGateway, GatewayStatus, check_address

OFFERS_MAX = 2000  # some hundred bytes each; the oldest that nobody claimed go first
OFFERS_OF_ONE_ADDRESS = 200  # a batch of gateways behind one router; a flood from one place throws out only its own
KEPT_US = 30 * DAY_US  # how long a used code is remembered, so that playing it again is recognised
TRIES_MAX, TRIES_WITHIN_US = 20, 600 * SECOND_US  # wrong codes of one person; each costs 40 ms here
LATE_RENEWAL_US = 400 * DAY_US  # a box that lay in a store room for longer is claimed anew

log = structlog.get_logger("tocsin.claims")
Told = Callable[[str, str, str], None]  # what happened, to which gateway or offer, why


class KeptOffer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One offer as the desk keeps it. state: waiting, claimed, contested. grant: once claimed."""

    offer: Offer
    came_us: int
    state: str = "waiting"
    where: str = ""
    who: str = ""
    grant: Grant | None = None


class ClaimPlace(msgspec.Struct, frozen=True):
    """Where a claimed gateway belongs. name: of the site, for its first site file."""

    address: GatewayAddress
    name_en: str = ""
    name_zh: str = ""
    replace: bool = False


_kept = msgspec.json.Decoder(dict[str, KeptOffer])


class ClaimDesk:
    """Owned by the process of the pages. Safe to call from several threads."""

    def __init__(
        self, authority: Authority, folder: Path, broker: Callable[[], tuple[str, int]], told: Told | None = None,
    ) -> None:
        """folder: the cloud's state. broker: host and port under which gateways reach the broker, asked at each
        claim. told: hears of everything that was granted or refused."""
        self._authority, self._broker, self._told = authority, broker, told or (lambda *_: None)
        self._file, self._sites = folder / "authority" / "claims.json", folder / "sites"
        self._lock = threading.Lock()
        self._tries: dict[str, list[int]] = {}

    # -- gateways ------------------------------------------------------------------------------------------------

    def offer(self, payload: bytes, where: str = "") -> str:
        """A gateway shows a code and waits; the id of its offer. Repeating it is harmless. PeerRefused says why it
        may not wait."""
        try:
            offer = read_offer(payload)
        except (ValueError, msgspec.DecodeError) as error:
            raise self._refuse("offer refused", where, f"not an offer: {error}") from error
        with self._lock:
            kept = self._read()
            known = kept.get(offer.offer)
            if known is not None and known.offer == offer:
                return offer.offer
            if known is not None and known.state == "claimed":
                raise self._refuse("offer refused", offer.offer, "this code was used: a replayed offer")
            if known is not None:
                # Two boxes under one code: one of them has read it off the other. Neither gets in.
                kept[offer.offer] = msgspec.structs.replace(known, state="contested")
                self._write(kept)
                raise self._refuse("offer refused", offer.offer, "two gateways show the same code: make a new one")
            mine = [name for name, one in kept.items() if one.where == where and one.state == "waiting"]
            if where and len(mine) >= OFFERS_OF_ONE_ADDRESS:
                del kept[mine[0]]
            kept[offer.offer] = KeptOffer(offer, self._authority.now_us(), where=where)
            self._write(kept)
            return offer.offer

    def answer(self, offer: str) -> Grant | None:
        """The grant of an offer; None while it waits. PeerRefused: unknown, over, contested."""
        with self._lock:
            known = self._read().get(offer)
        if known is None:
            raise PeerRefused("no such offer: it is over, or was never made")
        if known.state == "contested":
            raise PeerRefused("two gateways show the same code: make a new one")
        if known.state == "waiting" and self._over(known):
            raise PeerRefused("the code is over: make a new one")
        return known.grant

    def hear(self, payload: bytes) -> tuple[str, Word]:
        """What an enrolled gateway asks: (its common name, the answer). PeerRefused says why not."""
        try:
            ask = read_ask(payload)
            address = GatewayAddress.of_common_name(ask.gateway)
            check_address(address)
        except (ValueError, msgspec.DecodeError) as error:
            raise self._refuse("ask refused", "", f"not an ask: {error}") from error
        known = self._authority.gateways().get(ask.gateway)
        if known is None or known.status is not GatewayStatus.ENROLLED or not known.key:
            raise self._refuse(f"{ask.kind} refused", ask.gateway, "not enrolled here, or revoked")
        if not ask_holds(ask, bytes.fromhex(known.key)):
            raise self._refuse(f"{ask.kind} refused", ask.gateway, "not signed by the key that was enrolled")
        match ask.kind:
            case "renew":
                body = self._renewed(address, known, ask.body)
            case "site":
                body = self._taken(address, ask.body)
            case "fetch":
                body = self.site_text(address)
        at_us = self._authority.now_us()
        signature = self._authority.sign_word(word_to_sign(ask.gateway, body, ask.nonce, at_us))
        self._told(ask.kind, ask.gateway, f"the gateway's clock was {(ask.clock_us - at_us) / SECOND_US:+.0f} s off")
        return ask.gateway, Word(ask.gateway, body, ask.nonce, at_us, signature)

    def _renewed(self, address: GatewayAddress, known: EnrolledGateway, request: str) -> str:
        if self._authority.now_us() - known.not_after_us > LATE_RENEWAL_US:
            raise self._refuse("renew refused", known.common_name,
                               "its certificate ended over a year ago: claim it anew")
        return self._authority.renew(address, request.encode()).decode()

    def _taken(self, address: GatewayAddress, text: str) -> str:
        """A site file handed in: checked like any other, and only for the site of the one who hands it in."""
        try:
            site = parse_site(text, "site.yaml", shipped_profiles())
        except ConfigError as error:
            raise self._refuse("site refused", address.common_name, str(error.findings[0])) from error
        if site.tenancy != address.tenancy or site.gateway.id != address.gateway:
            raise self._refuse("site refused", address.common_name, "the site file is another gateway's")
        try:
            self._sites.mkdir(parents=True, exist_ok=True)
            write_private(self._site_file(address), text.encode())
        except OSError as error:
            raise LocalFault(f"the site file cannot be kept: {error}") from error
        return ""

    # -- people --------------------------------------------------------------------------------------------------

    def claim(self, code: str, place: ClaimPlace, who: str) -> EnrolledGateway:
        """Claim the gateway that shows this code. The caller has checked the person's right to that place.

        PeerRefused says, in words for people, why not."""
        name = place.address.common_name
        self._hold_back(who)
        try:
            secret = secret_of(code)
            check_address(place.address)
        except ValueError as error:
            raise PeerRefused(str(error)) from error
        with self._lock:
            kept = self._read()
            known = kept.get(secret.offer)
            if known is None:
                self._tries.setdefault(who, []).append(self._authority.now_us())
                raise self._refuse("claim refused", name, f"{who}: no gateway shows this code")
            if known.state == "contested":
                raise self._refuse("claim refused", name, f"{who}: two gateways show this code; make a new one")
            if known.state == "claimed":
                raise self._refuse("claim refused", name, f"{who}: this code was used before")
            if self._over(known):
                raise self._refuse("claim refused", name, f"{who}: this code is over; make a new one")
            if not offer_holds(known.offer, secret):
                raise self._refuse("claim refused", name, f"{who}: the offer was not made with this code")
            enrolled = self._authority.gateways().get(name)
            if enrolled is not None and enrolled.status is GatewayStatus.ENROLLED and not place.replace:
                raise PeerRefused(f"{place.address.gateway} of this site is in use: say that it is replaced, or "
                                  "choose another name")
            return self._grant(kept, known, place, who, secret)

    def _grant(self, kept: dict[str, KeptOffer], known: KeptOffer, place: ClaimPlace, who: str,
               secret: ClaimSecret) -> EnrolledGateway:
        address, offer = place.address, known.offer
        certificate = self._authority.enrol(address, offer.request.encode(), named=UNCLAIMED)
        host, port = self._broker()
        grant = Grant(address.common_name, certificate.decode(), self._authority.ca_pem.decode(), host, port,
                      place.name_en, place.name_zh, self._authority.now_us(), "", bool(self.site_text(address)))
        sealed = make_grant(secret, offer.nonce, grant)
        kept[offer.offer] = msgspec.structs.replace(known, state="claimed", who=who, grant=sealed)
        self._write(kept)
        self._told("claimed", address.common_name, f"{who}{', replaced' if place.replace else ''}")
        return self._authority.gateways()[address.common_name]

    def revoke(self, address: GatewayAddress, who: str, why: str) -> None:
        """Shut a gateway out; its live session ends within a second. PeerRefused where it is unknown."""
        self._authority.revoke(address, f"{who}: {why}")
        self._told("revoked", address.common_name, f"{who}: {why}")

    def gateways(self) -> Mapping[str, EnrolledGateway]:
        """Everybody ever enrolled."""
        return self._authority.gateways()

    def site_text(self, address: GatewayAddress) -> str:
        """The site file that this gateway handed in last; "" where there is none."""
        try:
            return self._site_file(address).read_text(encoding="utf-8")
        except (FileNotFoundError, UnicodeDecodeError):
            return ""
        except OSError as error:
            raise LocalFault(f"the site file cannot be read: {error}") from error

    # -- inside --------------------------------------------------------------------------------------------------

    def _site_file(self, address: GatewayAddress) -> Path:
        return self._sites / f"{address.common_name}.yaml"

    def _over(self, kept: KeptOffer) -> bool:
        return self._authority.now_us() - kept.came_us > CODE_LASTS_S * SECOND_US

    def _hold_back(self, who: str) -> None:
        now_us = self._authority.now_us()
        with self._lock:
            tries = [at for at in self._tries.get(who, []) if now_us - at < TRIES_WITHIN_US]
            self._tries[who] = tries
            while len(self._tries) > OFFERS_MAX:
                del self._tries[next(iter(self._tries))]
        if len(tries) >= TRIES_MAX:
            raise self._refuse("claim refused", "", f"{who}: too many wrong codes; wait ten minutes")

    def _refuse(self, what: str, whom: str, why: str) -> PeerRefused:
        log.warning(what, subject=whom, reason=why)
        self._told(what, whom, why)
        return PeerRefused(why.partition(": ")[2] if what == "claim refused" else why)

    def _read(self) -> dict[str, KeptOffer]:
        try:
            kept = _kept.decode(self._file.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as error:
            raise LocalFault(f"the book of claims {self._file} cannot be read: {error}") from error
        now_us = self._authority.now_us()
        return {name: one for name, one in kept.items() if now_us - one.came_us < KEPT_US}

    def _write(self, kept: dict[str, KeptOffer]) -> None:
        while len(kept) > OFFERS_MAX:
            spare = next((name for name, one in kept.items() if one.state == "waiting"), next(iter(kept)))
            del kept[spare]
        try:
            write_private(self._file, msgspec.json.encode(kept))
        except OSError as error:
            raise LocalFault(f"the book of claims cannot be written: {error}") from error

