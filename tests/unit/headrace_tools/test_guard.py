"""Where outbound calls may go."""

import ipaddress

import pytest
from headrace_tools import guard
from headrace_tools.guard import AddressRefused
from hypothesis import given
from hypothesis import strategies as st

PUBLIC = (
    "1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0",
    "223.255.255.255",     "2606:4700:4700::1111", "2a00:1450:4001:81b::200e", "::ffff:8.8.8.8", "64:ff9b::808:808",
)  # fmt: skip
NOT_PUBLIC = (
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:7f00:1::1", "2001:db8::1", "2002:7f00:1::1",
    "2002:808:808::1", "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "5f00::1",
    "4000::1",
)  # fmt: skip


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_may_be_called(text: str) -> None:
    assert guard.refusal(ipaddress.ip_address(text)) is None


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_any_other_address_may_not(text: str) -> None:
    assert guard.refusal(ipaddress.ip_address(text)) is not None


def _is_public(one: ipaddress.IPv4Address) -> bool:
    relay, cloud = ipaddress.ip_network("192.88.99.0/24"), ipaddress.ip_address("168.63.129.16")
    protocols = ipaddress.ip_network("192.0.0.0/24")
    return one.is_global and not one.is_multicast and one not in relay and one not in protocols and one != cloud


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_as_the_standard_library_does(one: ipaddress.IPv4Address) -> None:
    assert (guard.refusal(one) is None) == _is_public(one)


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_is_public_that_the_standard_library_holds_to_be_special(one: ipaddress.IPv6Address) -> None:
    if guard.refusal(one) is None:
        holds_ipv4 = one.ipv4_mapped is not None or one in ipaddress.ip_network("64:ff9b::/96")
        assert holds_ipv4 or (one.is_global and not one.is_multicast and int(one) >> 125 == 1)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_within_an_ipv6_one_counts_as_what_it_is(one: ipaddress.IPv4Address) -> None:
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        inside = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | int(one))
        assert (guard.refusal(inside) is None) == _is_public(one)


@given(st.lists(st.ip_addresses(), min_size=1, max_size=5))
def test_one_address_that_is_not_public_refuses_the_host(addresses: list[guard.Address]) -> None:
    texts = [str(one) for one in addresses]
    if all(guard.refusal(one) is None for one in addresses):
        guard.check("example.com", texts, ())
    else:
        with pytest.raises(AddressRefused, match="the host example"):
            guard.check("example.com", texts, ())
    guard.check("example.com", texts, ("example.com",))


def test_a_host_without_addresses_is_refused() -> None:
    with pytest.raises(AddressRefused):
        guard.check("example.com", [], ())


def test_a_name_allows_no_other() -> None:
    for other in ("a.example.com", "xexample.com", "example.com.evil.org"):
        with pytest.raises(AddressRefused):
            guard.check(other, ["10.0.0.1"], ("example.com",))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://Example.COM./a?b", guard.Target("http", "example.com", 80)),
        ("https://example.com:8443/", guard.Target("https", "example.com", 8443)),
        ("http://[::1]:90/", guard.Target("http", "::1", 90)),
        ("http://[0:0:0:0:0:0:0:1]/", guard.Target("http", "::1", 80)),
        ("http://127.0.0.1", guard.Target("http", "127.0.0.1", 80)),
        ("https://bücher.example/", guard.Target("https", "xn--bcher-kva.example", 443)),
    ],
)
def test_a_url_leads_to_a_host_in_one_spelling(url: str, expected: guard.Target) -> None:
    assert guard.target(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/", "file:///etc/passwd", "//example.com", "example.com", "http://", "http:///x", "gopher://x",
        "http://user@example.com/", "http://user:pw@example.com/", "http://example.com@127.0.0.1/", "http://a b/",
        "http://example.com\\@127.0.0.1/", "http://2130706433/", "http://0x7f000001/", "http://0x7f.1/", "http://0177.0.0.1/",
        "http://127.1/", "http://1.2.3.4.5/", "http://example.com:99999/", "http://[::1/", "http://exa\nmple.com/", "http://.",
        "http://a..b/",
    ],
)  # fmt: skip
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        guard.target(url)


@given(st.text(max_size=60))
def test_any_text_is_a_target_or_refused(text: str) -> None:
    for url in (text, f"http://{text}", f"https://{text}/x"):
        try:
            found = guard.target(url)
        except AddressRefused:
            continue
        assert found.scheme in ("http", "https")
        assert guard.host(found.host) == found.host
