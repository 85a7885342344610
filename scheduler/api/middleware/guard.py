"""Keeps web pages out: whoever reaches the API can run commands, so a request must prove that no page sent it.

Deny by default, for every route, method and stream, known or not: the Host must be one of ours (DNS rebinding
changes what a name points to, not what the browser sends), the Origin absent or ours, and Sec-Fetch-Site, which
pages cannot set, absent, `same-origin`, or `none` for what only reads.
"""

from dataclasses import dataclass
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from multidict import CIMultiDictProxy

from scheduler.config import Settings
from schemas.errors import Forbidden, HostNotAllowed

_OUR_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
_READING: Final = frozenset(("GET", "HEAD"))
_DEFAULT_PORT: Final = 80


@dataclass(frozen=True, slots=True)
class GuardPolicy:
    """Whom to answer: names that go with our own port, whole Host headers, and exact origins."""

    names: frozenset[str]
    hosts: frozenset[str]
    origins: frozenset[str]

    @classmethod
    def from_settings(cls, settings: Settings) -> "GuardPolicy":
        """Our own names and those of the settings; an allowed host without a port goes with ours and with none."""
        own = f"[{settings.host}]" if ":" in settings.host else settings.host
        extra = frozenset(settings.allowed_hosts)
        return cls(frozenset((*_OUR_NAMES, own)) | extra, extra, frozenset(settings.allowed_origins))

    def check_host(self, headers: CIMultiDictProxy[str], target_host: str, port: int | None) -> None:
        """Raise HostNotAllowed unless exactly one Host header is there and it is ours.

        `target_host` is the host that the request line means, `port` ours, None on the Unix socket.
        """
        given = headers.getall("Host", [])
        if len(given) != 1 or target_host != given[0] or given[0].lower() not in self._hosts_at(port):
            raise HostNotAllowed(host=", ".join(given)[:200])

    def check_origin(self, headers: CIMultiDictProxy[str], method: str) -> None:
        """Raise Forbidden for what a page of another origin sent; the Host is known to be ours."""
        ours = self.origins | {f"http://{headers['Host'].lower()}"}
        if any(origin.lower() not in ours for origin in headers.getall("Origin", [])):
            raise Forbidden(reason="it comes from a web page of another origin")
        allowed = ("same-origin", "none") if method in _READING else ("same-origin",)
        if any(site not in allowed for site in headers.getall("Sec-Fetch-Site", [])):
            raise Forbidden(reason="a browser sent it for another site")

    def _hosts_at(self, port: int | None) -> frozenset[str]:
        if port is None:
            # nobody else can open the socket, and its clients have no port to name
            return self.names | self.hosts
        with_port = frozenset(f"{name}:{port}" for name in self.names)
        return self.hosts | with_port | (self.names if port == _DEFAULT_PORT else frozenset())


def make_guard(policy: GuardPolicy) -> Middleware:
    """The middleware that applies `policy` to every request."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        policy.check_host(request.headers, request.host, _own_port(request))
        policy.check_origin(request.headers, request.method)
        return await handler(request)

    return guard


def _own_port(request: web.Request) -> int | None:
    """The port that this connection came in by, None on the Unix socket."""
    own_name = request.get_extra_info("sockname")
    if isinstance(own_name, tuple):
        return int(own_name[1])
    if own_name is None:
        raise HostNotAllowed(host="")
    return None
