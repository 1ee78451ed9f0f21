from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, strategies as st

from spandrel.errors import AddressForbiddenError
from spandrel.outbound.addresses import ip_allowed, vet
from tests.support.ssrf import ANSWERS, HOSTS, URLS


def test_the_corpus_is_large_enough() -> None:
    assert len(set(HOSTS)) + len(set(URLS)) >= 120


@pytest.mark.parametrize("host", HOSTS)
def test_no_spelling_of_an_inside_address_is_taken(host: str) -> None:
    with pytest.raises(AddressForbiddenError):
        vet(f"https://{host}/mcp")


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("allow_loopback", [False, True])
def test_no_odd_url_is_taken(url: str, allow_loopback: bool) -> None:
    url = url.format(port=8443)
    if allow_loopback and url.lower().startswith(
        ("https://127.0.0.1:8443/", "http://127.0.0.1:8443/", "https://[::1]:8443/")
    ):
        assert vet(url, allow_loopback=True).port == 8443
        return
    with pytest.raises(AddressForbiddenError) as caught:
        vet(url, allow_loopback=allow_loopback)
    assert caught.value.detail.endswith(".")


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://example.org", "example.org", 443),
        ("https://EXAMPLE.org/mcp?key=1", "example.org", 443),
        ("https://mcp.example.org:8443/mcp", "mcp.example.org", 8443),
        ("https://example.org:1024/", "example.org", 1024),
        ("https://bücher.example/", "xn--bcher-kva.example", 443),
        ("https://1.1.1.1/", "1.1.1.1", 443),
        ("https://[2606:4700::1111]/", "2606:4700::1111", 443),
        ("https://my_server.example.org/", "my_server.example.org", 443),
    ],
)
def test_public_addresses_are_taken(url: str, host: str, port: int) -> None:
    found = vet(url)
    assert found.origin == ("https", host, port)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:80/mcp", "http://localhost:3000/", "https://[::1]/", "http://[::1]:1/"]
)
def test_this_machine_where_it_is_allowed(url: str) -> None:
    assert vet(url, allow_loopback=True)
    with pytest.raises(AddressForbiddenError):
        vet(url)


_THIS_MACHINE = ("127.0.0.1", "localhost", "LOCALHOST", "[::1]")


@pytest.mark.parametrize("host", [each for each in HOSTS if each.isascii() and each not in _THIS_MACHINE])
def test_nothing_but_this_machine_is_allowed_there(host: str) -> None:
    with pytest.raises(AddressForbiddenError):
        vet(f"http://{host}:3000/", allow_loopback=True)


def test_answers_of_dns() -> None:
    assert not any(all(ip_allowed(each) for each in answer) for answer in ANSWERS)
    assert ip_allowed("1.1.1.1")
    assert ip_allowed("2606:4700:4700::1111")
    assert not ip_allowed("127.0.0.1")
    assert ip_allowed("127.0.0.1", allow_loopback=True)
    assert ip_allowed("::1", allow_loopback=True)
    assert not ip_allowed("127.0.0.2", allow_loopback=True)
    assert not ip_allowed("10.0.0.1", allow_loopback=True)


@given(st.ip_addresses(v=6))
def test_an_address_of_version_6_is_taken_only_from_what_is_handed_out(found: object) -> None:
    if ip_allowed(str(found)):
        assert str(found)[0] in "23"


@given(st.text(max_size=60))
def test_any_text_is_taken_or_refused(text: str) -> None:
    for url in (text, f"https://{text}", f"https://{text}/mcp"):
        with suppress(AddressForbiddenError):
            assert vet(url).scheme == "https"
