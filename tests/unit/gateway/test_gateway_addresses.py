"""What counts as one address, and which only this machine can reach."""

from __future__ import annotations

import pytest

from hndsr_gateway.addresses import OTHERS, is_loopback, network_of


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("ipv4:192.0.2.7:51234", "192.0.2.7"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:51234", "2001:db8:1:2::/64"),
        ("ipv6:[2001:db8:1:2::1]:51234", "2001:db8:1:2::/64"),
        ("ipv6:%5Bfe80::1%25eth0%5D:51234", "fe80::/64"),
        ("ipv6:[::ffff:192.0.2.7]:51234", "192.0.2.7"),
        ("unix:/run/hndsr.sock", OTHERS),
        ("unix:", OTHERS),
        ("", OTHERS),
        ("ipv4:nonsense", OTHERS),
    ],
)
def test_network_of_is_the_address_or_the_64_of_ipv6(peer: str, network: str) -> None:
    assert network_of(peer) == network


def test_network_of_tells_customers_of_one_provider_apart() -> None:
    assert network_of("ipv6:[2001:db8:1:2::1]:1") != network_of("ipv6:[2001:db8:1:3::1]:1")


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("localhost", True),
        ("[::1]", True),
        ("::1", True),
        ("[::ffff:127.0.0.1]", True),
        ("0.0.0.0", False),  # noqa: S104 - it is what others can reach
        ("[::]", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_is_loopback_knows_this_machine_by_its_own_names(host: str, is_local: bool) -> None:  # noqa: FBT001 - a case
    assert is_loopback(host) == is_local
