"""Keeps other sites' pages out: what a browser sends is answered only where it comes from our own page.

Any page in the same browser can send requests to this machine, or have its name resolve to it. So the Host must be the
address that is served, and what changes anything needs the Origin and a token that only our page knows.
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
    # Not no-referrer: with it a browser hides the Origin of a form, too.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_CHANGES_NOTHING = {"GET", "HEAD"}


def guard(app: Flask, port: int) -> str:
    """Refuses foreign requests with 403, adds the headers above, and returns the token that forms must send."""
    token = secrets.token_urlsafe(32)
    hosts = own_hosts(port)

    @app.before_request
    def refuse_others() -> None:
        if request.host not in hosts or embedded_elsewhere(request.environ):
            abort(403, "This page is served to this machine only, at the address that `totes up` shows.")
        if request.method in _CHANGES_NOTHING:
            return
        sent = request.form.get("token", "")
        if request.origin != f"http://{request.host}" or not secrets.compare_digest(sent.encode(), token.encode()):
            abort(403, "This did not come from this page, or from one of a stack that has stopped: reload it.")

    @app.after_request
    def add_headers(response: Response) -> Response:
        response.headers.update(HEADERS)
        return response

    return token
