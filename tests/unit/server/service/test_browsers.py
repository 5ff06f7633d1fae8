"""What web pages of other sites may do with the service, through their visitors' browsers."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from rest_service import NO_TRITON
from tritonpose import ConfigError
from tritonpose_server.service.rest.app import create_app
from tritonpose_server.service.rest.settings import RestSettings

PATH = "/human-keypoint-detection"
KEY = "0123456789abcdef"
ORIGIN = "https://app.example"


def ask(
    method: str = "GET",
    path: str = "/health",
    headers: dict[str, str] | None = None,
    content: bytes | None = None,
    **settings: Any,
) -> httpx.Response:
    async def send() -> httpx.Response:
        door = httpx.ASGITransport(create_app(RestSettings(NO_TRITON, **settings)))
        async with httpx.AsyncClient(transport=door, base_url="http://localhost:8080") as client:
            return await client.request(method, path, headers=headers, content=content)

    return asyncio.run(send())


# --- names that lead here ---


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *(
            (name, 200)
            for name in ("localhost", "LOCALHOST:8080", "localhost.", "page.localhost:1")
        ),
        *(
            (name, 200)
            for name in ("127.0.0.1:8080", "127.8.9.10", "[::1]", "[::1]:8080", "box:80")
        ),
        *((name, 403) for name in ("evil.example", "evil.example:8080", "localhost.evil.example")),
        *((name, 403) for name in ("127.0.0.1.evil.example", "10.0.0.1", "[::2]", "2130706433")),
        *((name, 403) for name in ("0x7f000001", "localhost@evil.example", "")),
    ],
)
def test_a_service_for_this_machine_has_local_names(host: str, status: int) -> None:
    """Else a page whose name leads to 127.0.0.1 would be taken for the service's own."""
    response = ask(headers={"Host": host})
    assert response.status_code == response.json()["errorCode"] or status == 200
    assert response.status_code == status
    if status == 403:
        assert "--allowed_hosts" in response.json()["errorMsg"]
    assert ask("POST", PATH, {"Host": host}).status_code == (415 if status == 200 else 403)


@pytest.mark.parametrize(
    "settings",
    [
        {"host": "0.0.0.0"},
        {"host": "192.168.1.5"},
        {"api_keys": (KEY,)},
        {"allowed_hosts": ("service.example",)},
        {"allowed_hosts": ("*.example",)},
        {"allowed_hosts": ("*",)},
    ],
    ids=str,
)
def test_other_names_where_they_are_expected(settings: dict[str, Any]) -> None:
    assert ask(headers={"Host": "service.example:8080"}, **settings).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "::1", "127.0.0.2"])
def test_every_address_of_this_machine_counts(host: str) -> None:
    assert ask(headers={"Host": "evil.example"}, host=host).status_code == 403


# --- origins ---


def preflight(origin: str, **settings: Any) -> httpx.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type, x-api-key",
    }
    return ask("OPTIONS", PATH, headers, **settings)


def test_no_page_may_by_default() -> None:
    assert preflight(ORIGIN).status_code == 405
    assert "access-control-allow-origin" not in ask(headers={"Origin": ORIGIN}).headers


@pytest.mark.parametrize("keys", [(), (KEY,)], ids=["no keys", "keys"])
@pytest.mark.parametrize("allowed", [(ORIGIN, "http://localhost:3000"), ("*",)], ids=str)
def test_pages_that_may(allowed: tuple[str, ...], keys: tuple[str, ...]) -> None:
    settings = {"cors_origins": allowed, "api_keys": keys}
    answer = preflight(ORIGIN, **settings)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] in (ORIGIN, "*")
    assert "x-api-key" in answer.headers["access-control-allow-headers"].lower()
    # Failures are for them, too.
    answer = ask("POST", PATH, {"Origin": ORIGIN}, **settings)
    assert answer.status_code == (401 if keys else 415)
    assert answer.headers["access-control-allow-origin"] in (ORIGIN, "*")
    assert "X-Request-ID" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in answer.headers


def test_other_pages_may_not() -> None:
    for origin in ("https://evil.example", "http://app.example", f"{ORIGIN}.evil.example", "null"):
        answer = preflight(origin, cors_origins=(ORIGIN,))
        assert answer.status_code == 400
        assert answer.headers.get("access-control-allow-origin") is None


FORM = {"Content-Type": "multipart/form-data; boundary=x"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 422),
        ({"Origin": "http://localhost:8080"}, 422),
        ({"Origin": "https://public.example", "Sec-Fetch-Site": "same-origin"}, 422),
        ({"Sec-Fetch-Site": "none"}, 422),
        ({"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"}, 422),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://localhost:9999"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"}, 403),
    ],
    ids=str,
)
def test_forms_of_other_pages(headers: dict[str, str], status: int) -> None:
    """Browsers send them without asking first."""
    answer = ask("POST", PATH, FORM | headers, b"--x--\r\n", cors_origins=(ORIGIN,))
    assert answer.status_code == answer.json()["errorCode"] == status


def test_pages_that_are_refused_are_counted() -> None:
    app = create_app(RestSettings(NO_TRITON))

    async def send() -> str:
        door = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=door, base_url="http://localhost:8080") as client:
            await client.post(PATH, headers=FORM | {"Origin": "https://evil.example"})
            return (await client.get("/metrics")).text

    lines = asyncio.run(send()).splitlines()
    assert 'tritonpose_rest_rejections_total{reason="page"} 1.0' in lines
    assert 'tritonpose_rest_rejections_total{reason="url"} 0.0' in lines


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_what_pages_may_send_unasked_is_no_request(kind: str | None) -> None:
    headers = {"Origin": "https://evil.example"} | ({"Content-Type": kind} if kind else {})
    assert ask("POST", PATH, headers, b'{"image": "/9j/"}').status_code == 415


def test_other_sites_can_not_embed_anything() -> None:
    for path in ("/", "/health", "/page/main.js", "/nowhere"):
        headers = ask(path=path).headers
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"


# --- addresses ---


@pytest.mark.parametrize("path", ["/", "/docs", "/health", "/health/", "/metrics", "/openapi.json"])
def test_head(path: str) -> None:
    shown = ask("GET", path)
    head = ask("HEAD", path)
    assert (head.status_code, head.headers["content-type"]) == (200, shown.headers["content-type"])
    assert ask("HEAD", "/health/ready").status_code == 503
    assert ask("HEAD", PATH).status_code == 405


@pytest.mark.parametrize("path", [PATH, "/health", "/health/ready", "/metrics"])
def test_a_slash_at_the_end_changes_nothing(path: str) -> None:
    """A redirect could carry the request elsewhere, without encryption."""
    method = "POST" if path == PATH else "GET"
    plain, slashed = ask(method, path), ask(method, f"{path}/")
    assert plain.status_code == slashed.status_code
    assert "location" not in slashed.headers


@pytest.mark.parametrize("path", ["/nowhere/", "/docs/", "/page/", "/page", "/openapi.json/"])
def test_nothing_redirects(path: str) -> None:
    answer = ask(path=path)
    assert answer.status_code in (200, 404)
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"allowed_hosts": ("http://a.example",)}, "allowed_hosts: 'http://a.example'"),
        ({"allowed_hosts": ("a.example:80",)}, "allowed_hosts"),
        ({"cors_origins": ("app.example",)}, "cors_origins: 'app.example'"),
        ({"cors_origins": ("https://app.example/",)}, "without a path"),
        ({"trusted_proxies": ("proxy.example",)}, "trusted_proxies: 'proxy.example'"),
        ({"trusted_proxies": ("10.0.0.1/8",)}, "has host bits set"),
    ],
    ids=str,
)
def test_settings_that_are_wrong(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        RestSettings(NO_TRITON, **settings)
