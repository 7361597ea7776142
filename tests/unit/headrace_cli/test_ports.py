"""Ports that nobody takes between the choice and the bind."""

import socket
import sys

import pytest
from headrace_cli.supervisor.ports import FIRST, HOST, LAST, Ports, listened


def _listen(port: int) -> socket.socket:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((HOST, port))
    server.listen()
    return server


def test_each_port_is_handed_out_once() -> None:
    with Ports() as ports:
        given = [ports.any() for _ in range(20)]

    assert len(set(given)) == 20
    assert all(FIRST <= port <= LAST for port in given)


def test_the_wanted_port_is_given_when_it_is_free() -> None:
    with Ports() as ports:
        free = ports.any()
    with Ports() as ports:
        assert ports.wanted(free) == free


def test_a_port_that_somebody_serves_on_is_passed_over() -> None:
    with Ports() as ports:
        taken = ports.any()
    with _listen(taken), Ports() as ports:
        assert listened(taken)
        assert ports.wanted(taken) != taken


def test_two_suites_on_one_machine_get_different_ports() -> None:
    with Ports(seed=1) as one, Ports(seed=1) as other:
        assert {one.any() for _ in range(5)}.isdisjoint(other.any() for _ in range(5))


@pytest.mark.skipif(sys.platform != "linux", reason="ports are only held on Linux")
def test_a_server_can_take_a_held_port_again_and_again_and_a_client_cannot() -> None:
    with Ports() as ports:
        port = ports.any()
        for _ in range(2):
            with _listen(port), socket.create_connection((HOST, port), timeout=5):
                assert listened(port)
        with socket.socket() as client, pytest.raises(OSError, match="in use"):
            client.bind((HOST, port))
