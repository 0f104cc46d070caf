"""The broker's configuration text: who may do what, and that names cannot break out of their quotes."""

from __future__ import annotations

import re

import pytest

from community_os.broker_config import BrokerAccess, BrokerFiles, BrokerSettings, broker_configuration
from community_os.nats_link import subject_filter
from provisioning.identity import EnrolledGateway, GatewayStatus

FILES = BrokerFiles("/s/js", "/s/ca.pem", "/s/b.pem", "/s/b.key", "/s/log", "/s/pid")


def gateway(name: str, status: GatewayStatus = GatewayStatus.ENROLLED, generation: int = 1) -> EnrolledGateway:
    return EnrolledGateway(f"c.d.s.site.{name}", generation, status, "1", 0, 0)


def users(text: str) -> list[str]:
    return re.findall(r'user: "([^"]*)"', text)


def test_only_enrolled_gateways_are_users_and_the_order_is_fixed() -> None:
    gateways = [gateway("b", generation=3), gateway("a"), gateway("r", GatewayStatus.REVOKED)]
    text = broker_configuration(BrokerSettings(), FILES, "secret", gateways)
    assert users(text) == ["services", "CN=c.d.s.site.a,OU=enrolment-1", "CN=c.d.s.site.b,OU=enrolment-3"]
    assert text == broker_configuration(BrokerSettings(), FILES, "secret", reversed(gateways))


def test_a_gateway_publishes_up_and_hears_down_under_its_own_prefix_only() -> None:
    text = broker_configuration(BrokerSettings(), FILES, "secret", [gateway("a")])
    line = next(line for line in text.splitlines() if "CN=" in line)
    assert 'publish: ["tocsin.v1.c.d.s.site.a.up.>"]' in line
    assert '"tocsin.v1.c.d.s.site.a.down", "tocsin.v1.c.d.s.site.a.down.>"' in line
    assert 'allowed_connection_types: ["MQTT"]' in line
    assert all(subject.startswith(("tocsin.v1.c.d.s.site.a.", "tocsin.v1.c.d.s.site.a", "$MQTT."))
               for subject in re.findall(r'"([^"]*\.[^"]*>)"', line))


def test_loopback_and_durability_are_the_defaults() -> None:
    text = broker_configuration(BrokerSettings(), FILES, "secret", [])
    assert 'listen: "127.0.0.1:4222"' in text and 'listen: "127.0.0.1:8883"' in text
    assert "sync_interval: always" in text and "verify_and_map: true" in text
    assert 'sync_interval: "10s"' in broker_configuration(BrokerSettings(sync_always=False), FILES, "x", [])


@pytest.mark.parametrize(("password", "expected"), [('a"b', 'password: "a\\"b"'), ("a\\b", 'password: "a\\\\b"')])
def test_quotes_hold(password: str, expected: str) -> None:
    assert expected in broker_configuration(BrokerSettings(), FILES, password, [])


def test_a_control_character_is_refused() -> None:
    with pytest.raises(ValueError, match="control"):
        broker_configuration(BrokerSettings(), FILES, "a\nb", [])


def test_a_password_is_not_shown() -> None:
    access = BrokerAccess("nats://127.0.0.1:1", "services", "hush")
    assert "hush" not in repr(access) and "hush" not in f"{access}"


@pytest.mark.parametrize(("topic", "subject"), [
    ("a/b/c", "a.b.c"), ("tocsin/v1/+/+/up/+", "tocsin.v1.*.*.up.*"), ("a/#", "a.>"),
])
def test_topic_filters_become_subjects(topic: str, subject: str) -> None:
    assert subject_filter(topic) == subject
