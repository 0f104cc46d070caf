"""Claiming: the code, what each side believes, and everything that is refused."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_model.errors import PeerRefused
from device_model.messages import GatewayAddress
from device_model.site import Tenancy
from provisioning.authority import Authority, make_request
from provisioning.claim import (
    UNCLAIMED,
    ask_holds,
    make_ask,
    make_offer,
    offer_holds,
    open_grant,
    open_word,
    read_ask,
    read_offer,
)
from provisioning.claim_code import ALPHABET, CODE_LASTS_S, make_code, read_code, secret_of
from provisioning.claim_desk import OFFERS_OF_ONE_ADDRESS, TRIES_MAX, ClaimDesk, ClaimPlace

PLACE = ClaimPlace(GatewayAddress(Tenancy("hangzhou", "yuhang", "cangqian", "riverside"), "gw-1"),
                   "Riverside", "河畔")
SITE = """
site: {path: hangzhou/yuhang/cangqian/riverside, name: {en: Riverside, zh: 河畔}}
gateway: {id: gw-1}
lines: [ {id: l1, kind: modbus_tcp, host: 127.0.0.1, port: 1502} ]
buildings: [ {id: b1, name: B, floors: [ {id: f1, name: F, zones: [ {id: z1, name: Z} ]} ]} ]
devices: [ {id: duct, profile: calectro-ug3, line: l1, unit: 1, zone: z1} ]
"""


class Cloud:
    """A desk with a clock that can be turned."""

    def __init__(self, folder) -> None:
        self.now = datetime(2026, 3, 1, tzinfo=UTC)
        self.told: list[tuple[str, str, str]] = []
        self.authority = Authority.open(folder / "authority", now=lambda: self.now)
        self.desk = ClaimDesk(self.authority, folder, lambda: ("cloud.example", 8883),
                              lambda *said: self.told.append(said))


@pytest.fixture
def cloud(tmp_path):
    return Cloud(tmp_path / "cloud")


def box(folder, name: str = "box", code: bytes = b"1234567"):
    """(secret, offer, nonce, key file) of a gateway that shows a code."""
    key = folder / name / "key.pem"
    secret, nonce = secret_of(make_code(code)), "0" * 32
    return secret, make_offer(secret, make_request(None, key, named=UNCLAIMED), nonce), nonce, key


@given(st.binary(min_size=7, max_size=7))
def test_a_code_is_read_as_people_write_it(randomness):
    code = make_code(randomness)
    assert len(code) == 13 and read_code(f" {code.lower().replace('-', ' ')} ") == code
    assert read_code(f"https://cloud.example/claim#{code}") == code
    assert read_code(code.replace("0", "o").replace("1", "l")) == code


@settings(max_examples=20)
@given(st.binary(min_size=7, max_size=7))
def test_each_wrong_character_and_each_swap_is_found(randomness):
    plain = make_code(randomness).replace("-", "")
    for place, letter in itertools.product(range(11), ALPHABET):
        if plain[place] != letter:
            with pytest.raises(ValueError, match="wrong"):
                read_code(plain[:place] + letter + plain[place + 1:])
    for first, second in itertools.combinations(range(11), 2):
        swapped = list(plain)
        swapped[first], swapped[second] = swapped[second], swapped[first]
        if "".join(swapped) != plain:
            with pytest.raises(ValueError, match="swapped"):
                read_code("".join(swapped))


@given(st.text(max_size=40))
def test_no_text_breaks_the_reader(text):
    try:
        assert len(read_code(text)) == 13
    except ValueError as error:
        assert str(error)


def test_a_claim_from_end_to_end(cloud, tmp_path):
    secret, offer, nonce, key = box(tmp_path)
    cloud.desk.offer(offer, "192.0.2.1")
    cloud.desk.offer(offer, "192.0.2.1")  # repeated, as a box does that waits
    assert cloud.desk.answer(secret.offer) is None
    enrolled = cloud.desk.claim(make_code(b"1234567").lower(), PLACE, "Wang")
    assert enrolled.generation == 1 and cloud.told[-1][0] == "claimed"
    grant = open_grant(msgspec.json.encode(cloud.desk.answer(secret.offer)), secret, nonce)
    assert (grant.gateway, grant.host, grant.port, grant.known_site) == (
        "hangzhou.yuhang.cangqian.riverside.gw-1", "cloud.example", 8883, False)
    assert key.stat().st_mode & 0o777 == 0o600
    other = secret_of(make_code(b"7654321"))
    with pytest.raises(ValueError, match="somebody else"):
        open_grant(msgspec.json.encode(cloud.desk.answer(secret.offer)), other, nonce)


def test_a_used_code_a_replayed_offer_and_a_stolen_code(cloud, tmp_path):
    _, offer, _, _ = box(tmp_path)
    cloud.desk.offer(offer)
    cloud.desk.claim(make_code(b"1234567"), PLACE, "Wang")
    with pytest.raises(PeerRefused, match="used before"):
        cloud.desk.claim(make_code(b"1234567"), PLACE, "Wang")
    _, thief, _, _ = box(tmp_path, "thief")
    with pytest.raises(PeerRefused, match="replayed"):
        cloud.desk.offer(thief)
    assert [what for what, _, _ in cloud.told] == ["claimed", "claim refused", "offer refused"]


def test_two_boxes_under_one_code_are_both_refused(cloud, tmp_path):
    secret, offer, _, _ = box(tmp_path)
    _, thief, _, _ = box(tmp_path, "thief")
    cloud.desk.offer(thief)
    with pytest.raises(PeerRefused, match="two gateways"):
        cloud.desk.offer(offer)
    with pytest.raises(PeerRefused, match="two gateways"):
        cloud.desk.claim(make_code(b"1234567"), PLACE, "Wang")
    with pytest.raises(PeerRefused, match="two gateways"):
        cloud.desk.answer(secret.offer)
    assert not cloud.authority.gateways()


def test_a_code_that_is_over_foreign_or_guessed(cloud, tmp_path):
    secret, offer, _, _ = box(tmp_path)
    cloud.desk.offer(offer)
    with pytest.raises(PeerRefused, match="no gateway shows"):
        cloud.desk.claim(make_code(b"7654321"), PLACE, "Wang")
    cloud.now += timedelta(seconds=CODE_LASTS_S + 1)
    with pytest.raises(PeerRefused, match="over"):
        cloud.desk.claim(make_code(b"1234567"), PLACE, "Wang")
    with pytest.raises(PeerRefused, match="over"):
        cloud.desk.answer(secret.offer)
    cloud.desk._tries["Wang"] = [cloud.authority.now_us()] * TRIES_MAX
    with pytest.raises(PeerRefused, match="too many"):
        cloud.desk.claim(make_code(b"7654321"), PLACE, "Wang")
    assert not cloud.authority.gateways()


def test_who_hears_an_offer_cannot_put_a_key_of_its_own_into_it(cloud, tmp_path):
    secret, offer, _, _ = box(tmp_path)
    foreign = make_request(None, tmp_path / "foreign.pem", named=UNCLAIMED).decode()
    forged = msgspec.structs.replace(read_offer(offer), request=foreign)
    assert not offer_holds(forged, secret)
    cloud.desk.offer(msgspec.json.encode(forged))
    with pytest.raises(PeerRefused, match="not made with this code"):
        cloud.desk.claim(make_code(b"1234567"), PLACE, "Wang")


@pytest.mark.parametrize("payload", [b"", b"{}", b"[1]", b"x" * 20_000,
                                     b'{"v":1,"offer":"x","request":"","nonce":"","mac":""}'])
def test_what_is_no_offer_and_no_ask(cloud, payload):
    with pytest.raises(PeerRefused):
        cloud.desk.offer(payload)
    with pytest.raises(PeerRefused):
        cloud.desk.hear(payload)


def test_a_flood_of_offers_throws_out_its_own(cloud, tmp_path):
    secret, offer, _, _ = box(tmp_path)
    cloud.desk.offer(offer, "192.0.2.1")
    seen = read_offer(offer)
    kept = {f"{n:032x}": msgspec.structs.replace(seen, offer=f"{n:032x}") for n in range(OFFERS_OF_ONE_ADDRESS + 5)}
    for one in kept.values():
        cloud.desk.offer(msgspec.json.encode(one), "192.0.2.66")
    assert cloud.desk.answer(secret.offer) is None
    with pytest.raises(PeerRefused, match="no such offer"):
        cloud.desk.answer(f"{0:032x}")


def claimed(cloud, tmp_path, name: str = "box", code: bytes = b"1234567", **place):
    _, offer, _, key = box(tmp_path, name, code)
    cloud.desk.offer(offer)
    cloud.desk.claim(make_code(code), msgspec.structs.replace(PLACE, **place), "Wang")
    return key.read_bytes()


@pytest.mark.parametrize("clock", [datetime(1970, 1, 1, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC),
                                   datetime(2027, 3, 1, tzinfo=UTC)])
def test_renewal_with_a_wrong_clock_and_a_certificate_that_is_over(cloud, tmp_path, clock):
    key, name = claimed(cloud, tmp_path), PLACE.address.common_name
    cloud.now += timedelta(days=45)  # the certificate of thirty days ended in a store room
    request = make_request(PLACE.address, tmp_path / "box" / "key.pem").decode()
    ask = make_ask(key, name, "renew", request, "a" * 32, round(clock.timestamp() * 1e6))
    _, word = cloud.desk.hear(ask)
    held = open_word(msgspec.json.encode(word), cloud.authority.ca_pem, name, "a" * 32)
    assert held.at_us == round(cloud.now.timestamp() * 1e6) and "BEGIN CERTIFICATE" in held.body
    assert cloud.authority.gateways()[name].generation == 1 and "s off" in cloud.told[-1][2]
    for wrong in (msgspec.structs.replace(word, at_us=0), msgspec.structs.replace(word, nonce="b" * 32)):
        with pytest.raises(ValueError, match=r"question|authority"):
            open_word(msgspec.json.encode(wrong), cloud.authority.ca_pem, name, "a" * 32)
    foreign = Authority.open(tmp_path / "foreign").ca_pem
    with pytest.raises(ValueError, match="authority"):
        open_word(msgspec.json.encode(word), foreign, name, "a" * 32)


def test_asks_that_are_refused(cloud, tmp_path):
    key, name = claimed(cloud, tmp_path), PLACE.address.common_name
    request = make_request(PLACE.address, tmp_path / "box" / "key.pem").decode()
    make_request(None, tmp_path / "foreign.pem", named=UNCLAIMED)
    stolen = make_ask((tmp_path / "foreign.pem").read_bytes(), name, "renew", request, "a" * 32, 0)
    with pytest.raises(PeerRefused, match="key that was enrolled"):
        cloud.desk.hear(stolen)
    changed = msgspec.structs.replace(read_ask(make_ask(key, name, "renew", request, "a" * 32, 0)), kind="fetch")
    assert not ask_holds(changed, bytes.fromhex(cloud.authority.gateways()[name].key))
    with pytest.raises(PeerRefused, match="another gateway"):
        cloud.desk.hear(make_ask(key, name, "site", SITE.replace("gw-1", "gw-2"), "a" * 32, 0))
    with pytest.raises(PeerRefused, match=r"site\.yaml"):
        cloud.desk.hear(make_ask(key, name, "site", "site: [", "a" * 32, 0))
    cloud.desk.revoke(PLACE.address, "Wang", "stolen")
    with pytest.raises(PeerRefused, match="revoked"):
        cloud.desk.hear(make_ask(key, name, "renew", request, "a" * 32, 0))
    assert cloud.told[-1][0] == "renew refused"


def test_a_broken_gateway_is_replaced_and_keeps_its_site(cloud, tmp_path):
    key, name = claimed(cloud, tmp_path), PLACE.address.common_name
    cloud.desk.hear(make_ask(key, name, "site", SITE, "a" * 32, 0))
    with pytest.raises(PeerRefused, match="in use"):
        claimed(cloud, tmp_path, "second", b"2222222")
    second = claimed(cloud, tmp_path, "third", b"3333333", replace=True)
    assert cloud.authority.gateways()[name].generation == 2
    _, word = cloud.desk.hear(make_ask(second, name, "fetch", "", "c" * 32, 0))
    assert word.body == SITE, "the same devices under the same names: their history goes on"
    with pytest.raises(PeerRefused, match="key that was enrolled"):
        cloud.desk.hear(make_ask(key, name, "fetch", "", "d" * 32, 0))


def test_site_broker_template_names_each_device_by_itself():
    from provisioning.site_acl import site_broker_files

    files = site_broker_files()
    assert "%u" in files["tocsin.acl"] and "require_certificate true" in files["tocsin.conf"]
    assert "topic write #" not in files["tocsin.acl"]
