"""Protects the servers on the loopback interface from other sites' pages.

Any page in a browser on this machine can send requests to its ports, and can resolve its own name to 127.0.0.1. A
browser sends the page's site in Origin and Sec-Fetch-Site, and the resolved name in Host.
"""

from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"


class ProgramsOnly:
    """Serves this machine's programs, and answers 403 to every page of any origin.

    No SDK or command line sends Origin or Sec-Fetch-Site, and no page can omit or change them. Old browsers send no
    Sec-Fetch-Site, but their requests that change anything have an Origin.

    Args:
        port: the server's port. Its host is 127.0.0.1 or localhost; an SDK may put a bucket's name before localhost.
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
    """Returns the values of Host for this port that no other site's name can have."""
    return {f"127.0.0.1:{port}", f"localhost:{port}"}


def sent_by_a_page(environ: "WSGIEnvironment") -> bool:
    """Returns whether a browser sent the request, for a page, a form or its address bar."""
    return "HTTP_ORIGIN" in environ or "HTTP_SEC_FETCH_SITE" in environ


def embedded_elsewhere(environ: "WSGIEnvironment") -> bool:
    """Returns whether another site's page embeds the resource, rather than links to it."""
    elsewhere = environ.get("HTTP_SEC_FETCH_SITE") in {"cross-site", "same-site"}
    return elsewhere and environ.get("HTTP_SEC_FETCH_MODE") != "navigate"
