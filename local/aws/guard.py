"""Keeps other sites' pages out of what is served on the loopback interface.

Any page in a browser on this machine can send requests to its ports, and can have its own name resolve to 127.0.0.1. A
browser names the page's site in Origin and Sec-Fetch-Site, and the name that it resolved in Host.
"""

from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"


class ProgramsOnly:
    """Serves programs of this machine and answers 403 to every page, whatever its origin.

    No SDK or command line sends Origin or Sec-Fetch-Site, and a browser lets no page leave them out or change them. Old
    browsers send no Sec-Fetch-Site; their requests that change anything have an Origin.

    Args:
        port: of the server. Its host is 127.0.0.1 or localhost; an SDK may put a bucket's name before localhost.
    """

    def __init__(self, served: "WSGIApplication", port: int) -> None:
        self._served = served
        self._hosts = own_hosts(port)
        self._bucket_hosts = f".localhost:{port}"

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        host = environ.get("HTTP_HOST", "")
        if (host in self._hosts or host.endswith(self._bucket_hosts)) and not sent_by_a_page(environ):
            return self._served(environ, start_response)
        start_response(f"{HTTPStatus.FORBIDDEN.value} {HTTPStatus.FORBIDDEN.phrase}", [("Content-Type", "text/plain")])
        return [b"This port serves programs on this machine, not pages in a browser.\n"]


def own_hosts(port: int) -> set[str]:
    """The values of Host that name a port of this machine, and that no other site's name can be."""
    return {f"127.0.0.1:{port}", f"localhost:{port}"}


def sent_by_a_page(environ: "WSGIEnvironment") -> bool:
    """Returns whether a browser sent it, be it for a page, a form or by its address bar."""
    return "HTTP_ORIGIN" in environ or "HTTP_SEC_FETCH_SITE" in environ


def embedded_elsewhere(environ: "WSGIEnvironment") -> bool:
    """Returns whether a page of another origin asked for it as a part of itself, and not by a link."""
    elsewhere = environ.get("HTTP_SEC_FETCH_SITE") in {"cross-site", "same-site"}
    return elsewhere and environ.get("HTTP_SEC_FETCH_MODE") != "navigate"
