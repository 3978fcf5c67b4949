"""Which addresses a logo may be fetched from: those of the internet at large."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.backfill.logos import is_public

PRIVATE = [
    "127.0.0.1",
    "127.9.9.9",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",  # where clouds hand out credentials
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fd00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:c0a8:101::",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_our_own_network_is_not_public(address):
    """However it is written, and through whichever gateway."""
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_the_internet_is(address):
    """Both families."""
    assert is_public(address)


@given(st.ip_addresses(network="10.0.0.0/8") | st.ip_addresses(network="192.168.0.0/16"))
def test_no_dress_makes_a_private_address_public(address):
    """Mapped, by 6to4, by NAT64."""
    number = int(ipaddress.ip_address(str(address)))
    dressed = [
        f"::ffff:{address}",
        str(ipaddress.IPv6Address((0x2002 << 112) | (number << 80))),
        str(ipaddress.IPv6Address(int(ipaddress.IPv6Address("64:ff9b::")) | number)),
    ]
    assert not any(map(is_public, dressed))


@given(st.text(max_size=40))
def test_what_is_no_address_is_not_public(text):
    """The old short forms (127.1, 0x7f000001, 2130706433) among them."""
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        assert not is_public(text)


@pytest.mark.parametrize("text", ["127.1", "0x7f000001", "2130706433", "0177.0.0.1", ""])
def test_short_forms_of_loopback_are_no_address(text):
    """What some resolvers would make of them never counts."""
    assert not is_public(text)
