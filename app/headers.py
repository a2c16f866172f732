"""Security headers of every answer, whoever made it: pages, the API, files, errors.

What an answer says of itself stands; this adds what it left out, and takes the strict side:

1. `Content-Security-Policy`: an answer that is not a page loads nothing and is framed by nobody.
   Pages and photos state their own (`web.pages`, `web.public`); none allows an inline script.
2. `Strict-Transport-Security`, where people come over https.
3. `X-Content-Type-Options: nosniff`: everything is only what its type says.
4. `Cross-Origin-Resource-Policy` and `-Opener-Policy`: other sites may read the API, which takes
   no cookie from them, and what an answer itself gives free; nothing else, and no page's window.
5. `Cache-Control: no-store` on whatever was answered to somebody who is signed in.
"""

from __future__ import annotations

from flask import Flask, Response, g, request

#: For answers that are not pages: there is nothing in them that a browser should run or load.
NOTHING = "default-src 'none'; frame-ancestors 'none'"

#: A year, and this host's sub-domains with it (OWASP ASVS 4.0, 14.4.5).
STRICT_TRANSPORT = "max-age=31536000; includeSubDomains"

#: What no page here asks of a device. A page that does says so itself.
PERMISSIONS_POLICY = (
    "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(),"
    " magnetometer=(), microphone=(), payment=(), usb=()"
)

#: First parts of paths that pages of other sites may read; no cookie of ours comes with them.
_OPEN_TO_ALL = ("/api/", "/open311/", "/ogc/")


def install(app: Flask) -> None:
    """Complete the headers of every answer of `app`."""
    is_https = str(app.config["BASE_URL"]).startswith("https://")

    @app.after_request
    def complete(response: Response) -> Response:
        headers = response.headers
        headers.setdefault("Content-Security-Policy", NOTHING)
        headers.setdefault("X-Content-Type-Options", "nosniff")
        headers.setdefault("Referrer-Policy", "no-referrer")
        headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        headers.setdefault(
            "Cross-Origin-Resource-Policy",
            "cross-origin" if request.path.startswith(_OPEN_TO_ALL) else "same-origin",
        )
        if is_https:
            headers.setdefault("Strict-Transport-Security", STRICT_TRANSPORT)
        actor = g.get("actor")
        if "Set-Cookie" in headers or (actor is not None and actor.is_signed_in):
            headers.setdefault("Cache-Control", "private, no-store")
        return response
