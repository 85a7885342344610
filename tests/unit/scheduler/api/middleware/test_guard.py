from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from scheduler.api.middleware.guard import GuardPolicy
from scheduler.config import Settings
from schemas.errors import Forbidden, HostNotAllowed, WattleError

PORT = 9240


def policy(**settings: Any) -> GuardPolicy:
    return GuardPolicy.from_settings(Settings(state_dir="/x", **settings))


def headers(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


def is_host_allowed(sent: str, *, port: int | None = PORT, **settings: Any) -> bool:
    try:
        policy(**settings).check_host(headers(("Host", sent)), sent, port)
    except HostNotAllowed:
        return False
    return True


@pytest.mark.parametrize("host", ["localhost:9240", "127.0.0.1:9240", "[::1]:9240", "LocalHost:9240"])
def test_our_own_names_with_our_port_are_answered(host: str) -> None:
    assert is_host_allowed(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost",
        "127.0.0.1",
        "localhost:9241",
        "localhost:80",
        "localhost:9240:9240",
        "localhost:",
        "localhost.:9240",
        "evil.example:9240",
        "localhost.evil.example:9240",
        "user@localhost:9240",
        "localhost:9240 ",
        "127.0.0.2:9240",
        "::1:9240",
        "[::ffff:127.0.0.1]:9240",
        "0.0.0.0:9240",
        "localhost:09240",
    ],
)
def test_every_other_host_is_not(host: str) -> None:
    assert not is_host_allowed(host)


def test_exactly_one_host_header_counts() -> None:
    for pairs in ([], [("Host", "localhost:9240")] * 2, [("Host", "localhost:9240"), ("Host", "evil:9240")]):
        with pytest.raises(HostNotAllowed):
            policy().check_host(headers(*pairs), "localhost:9240", PORT)


def test_a_request_line_that_names_another_host_is_refused() -> None:
    with pytest.raises(HostNotAllowed):
        policy().check_host(headers(("Host", "localhost:9240")), "evil.example", PORT)


def test_the_port_may_be_left_out_only_where_a_browser_would() -> None:
    assert is_host_allowed("localhost", port=80)
    assert is_host_allowed("localhost:80", port=80)
    assert not is_host_allowed("localhost", port=443)


def test_the_unix_socket_has_no_port() -> None:
    assert is_host_allowed("localhost", port=None)
    assert not is_host_allowed("evil.example", port=None)


def test_the_configured_address_is_a_name_of_ours() -> None:
    assert is_host_allowed("127.0.0.2:9240", host="127.0.0.2")
    assert is_host_allowed("[::2]:9240", host="::2")


def test_an_allowed_host_goes_with_our_port_and_with_none() -> None:
    allowed: dict[str, Any] = {"allowed_hosts": ("wattle.example",)}

    assert is_host_allowed("wattle.example", **allowed)
    assert is_host_allowed("wattle.example:9240", **allowed)
    assert not is_host_allowed("wattle.example:8443", **allowed)


def test_an_allowed_host_with_a_port_is_exact() -> None:
    allowed: dict[str, Any] = {"allowed_hosts": ("wattle.example:8443",)}

    assert is_host_allowed("wattle.example:8443", **allowed)
    assert not is_host_allowed("wattle.example", **allowed)
    assert not is_host_allowed("wattle.example:9240", **allowed)


def refusal_of(method: str, *pairs: tuple[str, str], **settings: Any) -> WattleError | None:
    try:
        policy(**settings).check_origin(headers(("Host", "localhost:9240"), *pairs), method)
    except Forbidden as refused:
        return refused
    return None


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "WHATEVER"])
class TestOriginForEveryMethod:
    def test_a_program_sends_none_of_these_headers(self, method: str) -> None:
        assert refusal_of(method) is None

    def test_our_own_page_is_answered(self, method: str) -> None:
        ours = (("Origin", "http://localhost:9240"), ("Sec-Fetch-Site", "same-origin"))
        assert refusal_of(method, *ours) is None

    @pytest.mark.parametrize(
        "origin",
        ["http://evil.example", "null", "", "https://localhost:9240", "http://localhost", "http://127.0.0.1:9240", "*"],
    )
    def test_any_other_origin_is_refused(self, method: str, origin: str) -> None:
        assert refusal_of(method, ("Origin", origin)) is not None

    def test_a_second_origin_is_looked_at_too(self, method: str) -> None:
        assert refusal_of(method, ("Origin", "http://localhost:9240"), ("Origin", "http://evil.example")) is not None

    @pytest.mark.parametrize("site", ["cross-site", "same-site", "", "SAME-ORIGIN", "same-origin, none"])
    def test_any_other_site_is_refused(self, method: str, site: str) -> None:
        assert refusal_of(method, ("Sec-Fetch-Site", site)) is not None

    def test_a_second_site_is_looked_at_too(self, method: str) -> None:
        sites = (("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site"))
        assert refusal_of(method, *sites) is not None

    def test_an_allowed_origin_is_answered(self, method: str) -> None:
        allowed: dict[str, Any] = {"allowed_origins": ("https://wattle.example",)}
        assert refusal_of(method, ("Origin", "https://wattle.example"), **allowed) is None
        assert refusal_of(method, ("Origin", "https://wattle.example.evil"), **allowed) is not None

    def test_an_address_typed_by_a_person_only_reads(self, method: str) -> None:
        is_refused = refusal_of(method, ("Sec-Fetch-Site", "none")) is not None
        assert is_refused == (method not in ("GET", "HEAD"))
