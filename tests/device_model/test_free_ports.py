"""Ports for servers that listen a moment later."""

from __future__ import annotations

import socket

import pytest

from device_model.child_process import LENT_COUNT, LENT_FROM, free_ports
from device_model.errors import LocalFault


@pytest.mark.real
def test_a_port_is_told_once_and_one_in_use_never() -> None:
    with socket.socket() as taken:
        (held,) = free_ports(1)
        taken.bind(("127.0.0.1", held))
        told = [port for _ in range(3) for port in free_ports(20)]
    assert len({held, *told}) == 61 and all(LENT_FROM <= port < LENT_FROM + LENT_COUNT for port in told)


def test_an_address_that_is_not_here_is_said() -> None:
    with pytest.raises(LocalFault, match=r"192\.0\.2\.1"):
        free_ports(1, "192.0.2.1")
