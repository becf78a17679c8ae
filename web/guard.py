"""Rejects requests from other sites' pages in the same browser.

Any page in the browser can send requests to this machine, or resolve its own host name to it. So the Host must be the
page's address. A request that changes anything also needs the page's Origin and a token that only the page knows.
"""

import secrets

from flask import Flask, Response, abort, request

from local.aws.guard import embedded_elsewhere, own_hosts

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Not no-referrer: with that, browsers also hide a form's Origin.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_CHANGES_NOTHING = {"GET", "HEAD"}


def guard(app: Flask, port: int) -> str:
    """Rejects foreign requests with 403, adds the headers above, and returns the token that forms must send."""
    token = secrets.token_urlsafe(32)
    hosts = own_hosts(port)

    @app.before_request
    def refuse_others() -> None:
        if request.host not in hosts or embedded_elsewhere(request.environ):
            abort(403, "This page is only for this machine: open the address that `totes up` shows.")
        if request.method in _CHANGES_NOTHING:
            return
        sent = request.form.get("token", "")
        if request.origin != f"http://{request.host}" or not secrets.compare_digest(sent.encode(), token.encode()):
            abort(403, "This request came from another page, or from a stack that has stopped: reload the page.")

    @app.after_request
    def add_headers(response: Response) -> Response:
        response.headers.update(HEADERS)
        return response

    return token
