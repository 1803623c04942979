"""What every request passes: other web sites reach nothing, and the page loads nothing of them."""

import ipaddress
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL = ("localhost", "127.0.0.1", "::1")

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def local_only(name: str) -> bool:
    """Whether a host's name is one of this machine's for itself."""
    return name in LOCAL


def by_address(name: str) -> bool:
    """Whether a host is named by its address, or as this machine.

    Another site can have its own name stand for this machine's address, and its pages would then
    be of the same origin; an address stands for itself.
    """
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return local_only(name)
    return True


class Guard:
    """Refuses requests for other hosts and from other web sites, and adds headers to all answers.

    Attributes:
      app: what answers the others.
      is_ours: whether the name in a request's `Host` is this server's.
    """

    def __init__(self, app: ASGIApp, is_ours: Callable[[str], bool]) -> None:
        self.app = app
        self.is_ours = is_ours

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if reason := self._refusal(scope):
            refused = JSONResponse({"error": reason}, 403)
            await refused(scope, receive, send_guarded)
            return
        await self.app(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> str | None:
        """Why a request is refused; None if it is not."""
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            name = None
        if name is None or not self.is_ours(name):
            return f"the host {host[:100]!r} is not this server: open it by the address it printed"
        site = headers.get("sec-fetch-site", "none")
        foreign = origin is not None and origin != f"{scope['scheme']}://{host}"
        if scope["method"] not in ("GET", "HEAD") and (
            foreign or site not in ("same-origin", "none")
        ):
            return "requests from other web sites are refused"
        return None
