"""URLs that would have the server ask hosts that are none of its clients' business."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

import pytest

from pretended_network import PretendedNetwork
from tritonpose import ConfigError
from tritonpose_server.service.contract.failures import ServiceError
from tritonpose_server.service.urls.fetching import ImageFetcher
from tritonpose_server.service.urls.policy import check_url, is_public
from tritonpose_server.service.urls.settings import UrlSettings

HTTPS = UrlSettings("https")
BOTH = UrlSettings("http")

PUBLIC = "93.184.215.14"
PUBLIC_V6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"


def refusal(url: str, settings: UrlSettings, network: PretendedNetwork) -> ServiceError:
    fetcher = ImageFetcher(settings, resolve=network.resolve, network=network)
    with pytest.raises(ServiceError) as caught:
        asyncio.run(fetcher.fetch(url))
    return caught.value


@pytest.mark.parametrize("url", ["http://public.example/a.jpg", "https://public.example/a.jpg"])
def test_off_by_default(url: str) -> None:
    network = PretendedNetwork({"public.example": [[PUBLIC]]})
    error = refusal(url, UrlSettings(), network)
    assert error.status == HTTPStatus.FORBIDDEN
    assert "URLs are off on this server" in error.message
    assert (network.resolved, network.connected) == ([], [])


NEVER_ASKED = {
    "plain": ("http://public.example/", "its scheme is 'http', and only https: is allowed"),
    "user": ("https://user@public.example/", "user name or password"),
    "password": ("https://public.example:443@127.0.0.1/", "user name or password"),
    "backslash": (r"https://public.example\@127.0.0.1/", "user name or password"),
    "encoded at": ("https://public.example%40127.0.0.1/", "a number, but not an IP address"),
    "other port": ("https://public.example:22/", "port 22 is not allowed, 443 is"),
    "plain port": ("https://public.example:80/", "port 80 is not allowed"),
    "port 0": ("https://public.example:0/", "port 0 is not allowed"),
    "short": ("https://127.1/", "a number, but not an IP address"),
    "decimal": ("https://2130706433/", "a number, but not an IP address"),
    "hexadecimal": ("https://0x7f000001/", "a number, but not an IP address"),
    "hexadecimal parts": ("https://0x7f.0.0.0x1/", "a number, but not an IP address"),
    "octal": ("https://0177.0.0.1/", None),
    "octal whole": ("https://017700000001/", "a number, but not an IP address"),
    "short with a dot": ("https://127.1./", "a number, but not an IP address"),
    "empty part": ("https://127..0.1/", "a number, but not an IP address"),
    "wide digits": ("https://\uff11\uff12\uff17.0.0.1/", None),
    "circled": ("https://\u24db\u24de\u24d2alhost/", None),
    "no host": ("https:///a.jpg", None),
    "only a dot": ("https://./", None),
    "blank": ("https://public.example /", None),
    "line break": ("https://public.example/\r\nX-Secret: 1", None),
    "brackets": ("https://[::1/", None),
    "zone": ("https://[fe80::1%25eth0]/", None),
    "endless": ("https://public.example/" + "a" * 8000, None),
}


@pytest.mark.parametrize(("url", "rule"), NEVER_ASKED.values(), ids=NEVER_ASKED)
def test_urls_that_are_refused_unasked(url: str, rule: str | None) -> None:
    network = PretendedNetwork({"public.example": [[PUBLIC]]})
    error = refusal(url, HTTPS, network)
    assert network.connected == []
    if rule is None:
        assert error.status == HTTPStatus.UNPROCESSABLE_ENTITY
        (problem,) = json.loads(error.message)
        assert (problem["type"], problem["loc"]) == ("url", "body.image")
    else:
        assert error.status == HTTPStatus.FORBIDDEN
        assert rule in error.message
        assert network.resolved == []


NOT_PUBLIC = (
    *("127.0.0.1", "127.8.9.10", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "192.0.0.192", "198.18.0.1", "203.0.113.7"),
    *("224.0.0.1", "240.0.0.1", "255.255.255.255", "192.88.99.1"),
    *("::1", "::", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:169.254.169.254", "::7f00:1"),
    *("fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1"),
    *("2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:7f00:1::1", "2001:0:808:808:0:0:8001:fffe"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "2001:db8::1", "3fff::1"),
    *("100::1", "5f00::1", "4000::1"),
    # What clouds give their machines: Azure, Alibaba, Oracle, AWS, Google, IBM.
    *("168.63.129.16", "::ffff:168.63.129.16", "64:ff9b::a83f:8110", "100.100.100.200"),
    *("fd20:ce::254", "161.26.0.10", "166.9.48.171", "169.254.0.23", "169.254.42.42"),
    # Special purposes, which look public to some versions of Python.
    *("0.1.2.3", "100.127.255.255", "192.0.0.8", "192.0.0.170", "192.0.2.1", "198.19.255.255"),
    *("198.51.100.1", "192.31.196.1", "192.52.193.1", "192.175.48.1", "233.252.0.1", "239.1.2.3"),
    *("2001:2::1", "2001:10::1", "2001:20::1", "2001:4:112::1", "2620:4f:8000::1", "::ffff:0:0:0"),
    # Tunnels, wherever they lead.
    *("2002:5db8:d70e::1", "2001::1", "2001:0:5db8:d70e::1", "::93.184.215.14"),
    *("2606:2800:21f:cb07:0:5efe:7f00:1", "2606:2800:21f:cb07:200:5efe:a9fe:a9fe"),
    *("::ffff:0:127.0.0.1", "fe80::5efe:5db8:d70e", "64:ff9b:1::5db8:d70e"),
)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)
    network = PretendedNetwork({"inside.example": [[address]]})
    error = refusal("https://inside.example/a.jpg", HTTPS, network)
    assert error.status == HTTPStatus.FORBIDDEN
    assert "its host has an address that is not public" in error.message
    assert address not in error.message
    assert network.connected == []


@pytest.mark.parametrize(
    "address",
    [
        *(PUBLIC, PUBLIC_V6, f"::ffff:{PUBLIC}", "64:ff9b::808:808", "1.1.1.1", "223.1.1.1"),
        *("168.63.129.15", "168.63.129.17", "100.63.255.255", "100.128.0.1", "198.20.0.1"),
        *("2001:4860:4860::8888", "2606:2800:21f:cb07:200:5efe:5db8:d70e", "2a00:1450::1"),
    ],
)
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("https://169.254.169.254/latest/meta-data/", "169.254.169.254"),
        ("https://[::1]/", "::1"),
        ("https://[::ffff:127.0.0.1]/", "::ffff:127.0.0.1"),
        ("https://0.0.0.0/", "0.0.0.0"),
        ("https://localhost/", "127.0.0.1"),
        ("https://localhost./", "127.0.0.1"),
        ("https://LOCALHOST/", "127.0.0.1"),
    ],
)
def test_hosts_that_are_this_machine(url: str, meant: str) -> None:
    network = PretendedNetwork({meant: [[meant]], "localhost": [["127.0.0.1"]]})
    error = refusal(url, HTTPS, network)
    assert error.status == HTTPStatus.FORBIDDEN
    assert "not public" in error.message
    assert network.connected == []


def test_one_address_that_is_not_public_is_enough() -> None:
    network = PretendedNetwork({"mixed.example": [[PUBLIC, PUBLIC_V6, "10.0.0.1"]]})
    assert refusal("https://mixed.example/", HTTPS, network).status == HTTPStatus.FORBIDDEN
    assert network.connected == []


def test_names_are_asked_for_once() -> None:
    """A second answer, after the check, would be another one."""
    network = PretendedNetwork({"rebinding.example": [[PUBLIC], ["127.0.0.1"]]})
    error = refusal("https://rebinding.example/", HTTPS, network)
    assert error.status == HTTPStatus.BAD_GATEWAY
    assert network.resolved == ["rebinding.example"]
    assert network.connected == [(PUBLIC, 443)]
    # The next request sees the second answer.
    fetcher = ImageFetcher(HTTPS, resolve=network.resolve, network=network)
    with pytest.raises(ServiceError, match="not public"):
        asyncio.run(fetcher.fetch("https://rebinding.example/"))
    assert network.connected == [(PUBLIC, 443)]


def test_each_address_is_tried() -> None:
    network = PretendedNetwork({"public.example": [[PUBLIC, PUBLIC_V6, PUBLIC]]})
    error = refusal("http://public.example/", BOTH, network)
    assert error.status == HTTPStatus.BAD_GATEWAY
    assert network.connected == [(PUBLIC, 80), (PUBLIC_V6, 80)]


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://images.example/a.jpg", True),
        ("https://IMAGES.example./a.jpg", True),
        ("https://images.example:8443/", True),
        ("https://a.cdn.example/", True),
        ("https://a.b.cdn.example/", True),
        ("https://cdn.example/", False),
        ("https://evilcdn.example/", False),
        ("https://images.example.evil.example/", False),
        (f"https://{PUBLIC}/", False),
        (f"https://[{PUBLIC_V6}]/", False),
        ("https://images.example:8444/", False),
    ],
)
def test_hosts_and_ports_that_are_named(url: str, allowed: bool) -> None:
    settings = UrlSettings("https", ("images.example", "*.cdn.example"), (8443,))
    if allowed:
        check_url(url, settings)
    else:
        with pytest.raises(ServiceError, match=r"not one of the allowed|port 8444") as caught:
            check_url(url, settings)
        assert caught.value.status == HTTPStatus.FORBIDDEN


def test_what_is_asked() -> None:
    target = check_url("HTTPS://B\u00fccher.example:443/a b.jpg?x=\u00e4#part", HTTPS)
    assert (target.scheme, target.host, target.port) == ("https", "xn--bcher-kva.example", 443)
    assert target.path == b"/a%20b.jpg?x=%C3%A4"
    assert target.netloc == "xn--bcher-kva.example"
    assert check_url(f"http://[{PUBLIC_V6}]/", BOTH).netloc == f"[{PUBLIC_V6}]"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"mode": "on"}, "image_urls='on'"),
        ({"hosts": ("https://a.example",)}, "'https://a.example' isn't a valid host name"),
        ({"hosts": ("*",)}, "valid host name"),
        ({"hosts": ("A.example",)}, "lower case"),
        ({"ports": (0,)}, "0 isn't a valid port"),
        ({"max_bytes": 0}, "positive"),
        ({"timeout": float("nan")}, "positive"),
    ],
)
def test_settings_that_are_wrong(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        UrlSettings(**values)


@pytest.mark.parametrize(
    ("key", "value"), [("url_timeout", "soon"), ("url_ports", "https"), ("url_max_bytes", "1e3")]
)
def test_parameters_that_are_wrong(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=value):
        UrlSettings.from_parameters({key: value})
