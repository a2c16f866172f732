"""A small OpenID provider for tests: real HTTP on a loopback port, real keys, faults on demand.

It keeps the protocol as a good provider does: discovery, authorization code, PKCE (S256 only),
client authentication, single-use codes, signed ID tokens, userinfo, rotating keys. A test sets
`claims` to say who signs in, and attributes under "Faults" to make it go wrong in one place.
"""

from __future__ import annotations

import base64
import functools
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlencode

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from flask import Flask, Response, jsonify, redirect, request
from flask.typing import ResponseReturnValue
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

CLIENT_ID = "riverain"


@functools.cache
def _first_key() -> RSAKey:
    """Making one takes longer than a sign-in."""
    return RSAKey.generate_key(2048, {"kid": "first", "use": "sig"})


class _Silent(WSGIRequestHandler):
    def log(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the test's output is its own."""


@dataclass
class Provider:
    """The provider; `start` and `stop` it."""

    client_secret: str | None = None
    claims: dict[str, Any] = field(default_factory=lambda: {"sub": "ada"})
    userinfo: dict[str, Any] | None = None
    userinfo_is_signed: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)
    #: Paths that were asked for, in order, with what was sent.
    calls: list[str] = field(default_factory=list)
    token_forms: list[dict[str, str]] = field(default_factory=list)
    authorizations: list[dict[str, str]] = field(default_factory=list)

    # Faults
    #: What the authorization endpoint answers instead of a code.
    error: str | None = None
    #: Changes the claims of the ID token just before it is signed.
    forge: Callable[[dict[str, Any]], None] = lambda _: None
    #: Makes the ID token of the claims in some other way.
    sign: Callable[[dict[str, Any]], str] | None = None
    #: Answers a path with that status and body.
    broken: dict[str, tuple[int, str]] = field(default_factory=dict)
    #: `iss` of the answer; None: left out; "": our own.
    answer_issuer: str | None = ""
    codes_last: bool = False
    #: Looks around while somebody waits for an answer.
    on_call: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.keys: list[RSAKey] = [_first_key()]
        self._codes: dict[str, dict[str, str]] = {}
        self._access_tokens: set[str] = set()
        self._server: BaseWSGIServer = make_server(
            "127.0.0.1", 0, self._app(), threaded=True, request_handler=_Silent
        )
        self.issuer = f"http://127.0.0.1:{self._server.server_port}/realms/ville"
        # Looks every 10 ms whether it is to stop; half a second is the library's own.
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )

    def start(self) -> None:
        """Serve."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and give the port back."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def rotate(self, *, keep: bool = False) -> None:
        """Sign with a new key; the old ones stay published if `keep`."""
        fresh = RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig"})
        self.keys = [fresh, *(self.keys if keep else [])]

    def count(self, path: str) -> int:
        """How often a path was asked for."""
        return self.calls.count(path)

    def signed(self, claims: dict[str, Any]) -> str:
        """A token of the claims, signed with the present key."""
        key = self.keys[0]
        return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key)

    def signed_with_the_client_secret(self, claims: dict[str, Any]) -> str:
        """A token that anybody who knows the client's secret could have made."""
        key = OctKey.import_key((self.client_secret or "a secret of some length").ljust(32, "."))
        return jwt.encode({"alg": "HS256", "kid": self.keys[0].kid}, claims, key)

    def signed_with_the_public_key(self, claims: dict[str, Any]) -> str:
        """The classic confusion: the public key taken for a shared secret (RFC 8725, 2.1)."""
        key = OctKey.import_key(base64.b64encode(self.keys[0].as_pem(private=False)).decode())
        return jwt.encode({"alg": "HS256", "kid": self.keys[0].kid}, claims, key)

    def unsigned(self, claims: dict[str, Any]) -> str:
        """A token with the algorithm `none`."""
        parts = self.signed(claims).split(".")
        head = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
        return f"{head}.{parts[1]}."

    def signed_by_a_stranger(self, claims: dict[str, Any]) -> str:
        """A token with our key's id and another key's signature."""
        other = RSAKey.generate_key(2048)
        return jwt.encode({"alg": "RS256", "kid": self.keys[0].kid}, claims, other)

    # The server

    def _app(self) -> Flask:
        app = Flask("provider", static_folder=None)
        realm = "/realms/ville"
        app.before_request(self._note)
        app.add_url_rule(f"{realm}/.well-known/openid-configuration", view_func=self._discovery)
        app.add_url_rule(f"{realm}/authorize", view_func=self._authorize)
        app.add_url_rule(f"{realm}/token", view_func=self._token, methods=["POST"])
        app.add_url_rule(f"{realm}/keys", view_func=self._keys)
        app.add_url_rule(f"{realm}/userinfo", view_func=self._userinfo)
        return app

    def _note(self) -> ResponseReturnValue | None:
        path = request.path.rpartition("/")[2]
        self.calls.append(path)
        self.on_call()
        if path in self.broken:
            status, body = self.broken[path]
            return Response(body, status, content_type="application/json")
        return None

    def _discovery(self) -> ResponseReturnValue:
        return jsonify(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "userinfo_endpoint": f"{self.issuer}/userinfo",
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
                **self.metadata,
            }
        )

    def _keys(self) -> ResponseReturnValue:
        odd: list[Any] = [{"kty": "OKP-of-tomorrow", "kid": "x"}, {"kty": "RSA", "n": "?"}, 7]
        return jsonify({"keys": [*odd, *(key.as_dict(private=False) for key in self.keys)]})

    def _authorize(self) -> ResponseReturnValue:
        sent = request.args.to_dict()
        self.authorizations.append(sent)
        if sent.get("response_type") != "code" or sent.get("client_id") != CLIENT_ID:
            return "unknown client", 400
        if sent.get("code_challenge_method") != "S256" or not sent.get("code_challenge"):
            return "PKCE is required", 400
        answer = {"state": sent["state"]}
        if self.answer_issuer is not None:
            answer["iss"] = self.answer_issuer or self.issuer
        if self.error is not None:
            answer |= {"error": self.error, "error_description": "Ada said no"}
        else:
            answer["code"] = secrets.token_urlsafe(16)
            self._codes[answer["code"]] = sent
        return redirect(f"{sent['redirect_uri']}?{urlencode(answer)}")

    def _token(self) -> ResponseReturnValue:
        form = request.form.to_dict()
        self.token_forms.append(form)
        if not self._is_our_client(form):
            return jsonify(error="invalid_client"), 401
        code = form.get("code", "")
        asked = self._codes.get(code) if self.codes_last else self._codes.pop(code, None)
        if (
            asked is None
            or form.get("grant_type") != "authorization_code"
            or form.get("redirect_uri") != asked["redirect_uri"]
            or create_s256_code_challenge(form.get("code_verifier", "")) != asked["code_challenge"]
        ):
            return jsonify(error="invalid_grant"), 400
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            **self.claims,
        }
        self.forge(claims)
        access_token = secrets.token_urlsafe(16)
        self._access_tokens.add(access_token)
        return jsonify(
            access_token=access_token,
            token_type="Bearer",
            expires_in=300,
            id_token=(self.sign or self.signed)(claims),
        )

    def _is_our_client(self, form: dict[str, str]) -> bool:
        if self.client_secret is None:
            return form.get("client_id") == CLIENT_ID and "client_secret" not in form
        auth = request.authorization
        if auth is None or auth.type != "basic":
            return form.get("client_secret") == self.client_secret
        return auth.username == CLIENT_ID and unquote(auth.password or "") == self.client_secret

    def _userinfo(self) -> ResponseReturnValue:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self._access_tokens:
            return jsonify(error="invalid_token"), 401
        said = self.userinfo if self.userinfo is not None else {"sub": self.claims["sub"]}
        if not self.userinfo_is_signed:
            return jsonify(said)
        text = self.signed({"iss": self.issuer, "aud": CLIENT_ID, **said})
        return Response(text, content_type="application/jwt")
