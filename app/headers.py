"""Security headers of every answer, whoever made it: pages, the API, files, errors.

What an answer says of itself stands; this adds what it left out, and takes the strict side:

1. `Content-Security-Policy`: an answer that is not a page loads nothing and is framed by nobody.
   Pages and photos state their own (`web.pages`, `web.public`); none allows an inline script.
2. `Strict-Transport-Security`, where people come over https.
3. `X-Content-Type-Options: nosniff`: everything is only what its type says.
4. `Access-Control-Allow-Origin: *` where pages of other sites may read; what they ask before a
   write (`OPTIONS`) is answered by Flask-CORS, in `app.features`.
5. `Cross-Origin-Resource-Policy` and `-Opener-Policy`: other sites may read the API, which takes
   no cookie from them, and what an answer itself gives free; nothing else, and no page's window.
6. `Cache-Control: no-store` on whatever was answered to somebody who is signed in.
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

#: What those pages may read beside the body.
EXPOSED = ("ETag", "Idempotent-Replayed", "Link", "Retry-After", "X-Request-Id")

_SHARED = [
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Expose-Headers", ", ".join(EXPOSED)),
]


def install(app: Flask) -> None:
    """Complete the headers of every answer of `app`; after every other hook of the application."""
    usual = {
        "content-security-policy": ("Content-Security-Policy", NOTHING),
        "x-content-type-options": ("X-Content-Type-Options", "nosniff"),
        "referrer-policy": ("Referrer-Policy", "no-referrer"),
        "permissions-policy": ("Permissions-Policy", PERMISSIONS_POLICY),
        "cross-origin-opener-policy": ("Cross-Origin-Opener-Policy", "same-origin"),
    }
    if str(app.config["BASE_URL"]).startswith("https://"):
        usual["strict-transport-security"] = ("Strict-Transport-Security", STRICT_TRANSPORT)
    resource = "Cross-Origin-Resource-Policy"

    @app.after_request
    def complete(response: Response) -> Response:
        headers = response.headers
        # Each look-up reads the whole list again: it is read once instead.
        said = {name.lower() for name, _ in headers}
        headers.extend([pair for name, pair in usual.items() if name not in said])
        is_open = request.path.startswith(_OPEN_TO_ALL)
        if is_open and "access-control-allow-origin" not in said and request.method != "OPTIONS":
            headers.extend(_SHARED)
        if resource.lower() not in said:
            headers.add(resource, "cross-origin" if is_open else "same-origin")
        if "cache-control" not in said:
            actor = g.get("actor")
            if "set-cookie" in said or (actor is not None and actor.is_signed_in):
                headers.add("Cache-Control", "private, no-store")
        return response
