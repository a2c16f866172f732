"""The conversation with an identity provider: discovery, keys, code for token, claims verified.

Knows no person and no database, and no transaction is open while it speaks. Every call goes through
`core.outgoing`: public addresses only, the address that was checked, a deadline, a cap.

1. What a provider publishes of itself (its discovery document, its keys) is kept for a while. A
   token signed with an unknown key has the keys read once more, because providers rotate them.
2. The code is exchanged with the verifier of the attempt (PKCE) and, if there is one, the client's
   secret.
3. The ID token must be signed with an asymmetric algorithm by a key of the provider, be for us, be
   of this attempt (nonce) and of now.
4. Userinfo is asked only when a claim that the city names is missing; some providers (ProConnect)
   tell nothing but there, as a signed token.

Loaded at the first sign-in at a provider: see `accounts.oidc.Connector`.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote

from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import (
    BadSignatureError,
    ClaimError,
    InvalidKeyIdError,
    JoseError,
    UnsupportedAlgorithmError,
)
from joserfc.jwk import JWKRegistry, Key, KeySet
from joserfc.jws import JWSRegistry

from accounts.oidc import Attempt, Failure, OidcError, Provider, is_safe_url
from accounts.oidc import claims as oidc_claims
from core.outgoing import (
    NOTHING_ALLOWED,
    Allowance,
    Answer,
    Outgoing,
    OutgoingError,
    OutgoingRefusedError,
    OutgoingTLSError,
)

#: Each call of at most four; a person waits for them, and so does a thread of the web server.
TIMEOUT_S = 5.0

#: The largest key sets that providers publish have some dozens of kilobytes.
MAX_BYTES = 256 * 1024

#: How long what a provider publishes is believed without looking again. Of keys not for long: one
#: that was stolen is withdrawn there.
DISCOVERY_KEPT = timedelta(hours=1)
KEYS_KEPT = timedelta(minutes=15)

#: A provider that does not answer is left alone for so long: the next visitor is told at once,
#: instead of holding a thread.
PAUSE = timedelta(seconds=10)

#: Clocks differ.
LEEWAY_S = 60

#: Signatures that only the provider can make. With a symmetric one, whoever knows the client's
#: secret could; `none` is nobody's. (RFC 8725, sections 3.1 and 3.2.)
ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
)  # fmt: skip

_KEY_TYPES = frozenset({"RSA", "EC"})

#: RFC 8017's smallest that is still thought safe (NIST SP 800-131A).
_RSA_MIN_BITS = 2048

#: Errors of the token endpoint that may stand in the log as they are (RFC 6749, section 5.2).
_TOKEN_ERRORS = frozenset(
    {"invalid_request", "invalid_client", "unauthorized_client", "unsupported_grant_type",
     "invalid_scope"}
)  # fmt: skip

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Server:
    """What a provider says of itself (OpenID Connect Discovery 1.0, section 3)."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    takes_basic: bool
    #: RFC 9207: its answers carry `iss`.
    says_issuer: bool


@dataclass(frozen=True, slots=True)
class _Kept:
    value: Any
    until: datetime


class Client:
    """Speaks to providers. One serves a whole process, its threads together."""

    def __init__(self, allow: Allowance = NOTHING_ALLOWED, timeout_s: float = TIMEOUT_S) -> None:
        self._allow = allow
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._paused: dict[str, datetime] = {}

    def authorization_url(
        self, provider: Provider, attempt: Attempt, redirect_uri: str, locale: str, *, now: datetime
    ) -> str:
        """Where to send the browser.

        Raises:
            OidcError: AWAY or SETUP.
        """
        with self._line() as outgoing:
            server = self._server(outgoing, provider, now)
        url: str = prepare_grant_uri(
            server.authorization_endpoint,
            client_id=provider.client_id,
            response_type="code",
            redirect_uri=redirect_uri,
            scope=" ".join(provider.scopes),
            state=attempt.state,
            nonce=attempt.nonce,
            code_challenge=create_s256_code_challenge(attempt.verifier),
            code_challenge_method="S256",
            acr_values=" ".join(provider.acr_values) or None,
            ui_locales=locale,
        )
        return url

    def redeem(
        self,
        provider: Provider,
        attempt: Attempt,
        code: str,
        redirect_uri: str,
        *,
        said_issuer: str | None,
        now: datetime,
    ) -> Mapping[str, Any]:
        """The claims that a code stands for, verified.

        Args:
            said_issuer: `iss` of the answer that brought the code.

        Raises:
            OidcError
        """
        with self._line() as outgoing:
            server = self._server(outgoing, provider, now)
            if said_issuer is None and server.says_issuer:
                raise OidcError(Failure.UNVERIFIED, "answer.issuer_missing")
            token = self._exchange(outgoing, server, provider, attempt, code, redirect_uri, now)
            claims = self._id_token(outgoing, server, provider, attempt, token, now)
            return self._completed(outgoing, server, provider, token, claims, now)

    # What is published

    def _line(self) -> Outgoing:
        return Outgoing(allow=self._allow, timeout_s=self._timeout_s, max_bytes=MAX_BYTES)

    def _server(self, outgoing: Outgoing, provider: Provider, now: datetime) -> _Server:
        issuer = provider.issuer
        if not is_safe_url(issuer):
            raise OidcError(Failure.SETUP, "issuer.scheme")

        def read() -> _Server:
            return _understood(
                self._document(outgoing, _discovery_url(issuer), issuer, now), issuer
            )

        return self._keep((issuer, "server"), read, DISCOVERY_KEPT, now)

    def _keys(
        self,
        outgoing: Outgoing,
        server: _Server,
        issuer: str,
        now: datetime,
        *,
        look_again: bool = False,
    ) -> KeySet:
        def read() -> KeySet:
            return _usable(self._document(outgoing, server.jwks_uri, issuer, now))

        return self._keep((issuer, "keys"), read, KEYS_KEPT, now, look_again=look_again)

    def _keep(
        self,
        name: tuple[str, str],
        read: Callable[[], _T],
        lifetime: timedelta,
        now: datetime,
        *,
        look_again: bool = False,
    ) -> _T:
        """What was read before, if it is still good. Two threads may read at once; no harm."""
        with self._lock:
            kept = self._kept.get(name)
        if kept is not None and now < kept.until and not look_again:
            value: _T = kept.value
            return value
        value = read()
        with self._lock:
            self._kept[name] = _Kept(value, now + lifetime)
        return value

    def _document(
        self, outgoing: Outgoing, url: str, issuer: str, now: datetime
    ) -> Mapping[str, Any]:
        answer = self._call(outgoing, "GET", url, issuer, now, {"Accept": "application/json"})
        return _object(answer, Failure.SETUP, "published")

    def _call(
        self,
        outgoing: Outgoing,
        method: str,
        url: str,
        issuer: str,
        now: datetime,
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> Answer:
        """The answer of a provider that is well.

        Raises:
            OidcError: AWAY or SETUP.
        """
        with self._lock:
            paused_until = self._paused.get(issuer)
        if paused_until is not None and now < paused_until:
            raise OidcError(Failure.AWAY, "provider.paused")
        try:
            answer = outgoing.request(method, url, body=body, headers=headers)
        except (OutgoingRefusedError, OutgoingTLSError) as error:
            raise OidcError(Failure.SETUP, f"provider.{error}") from error
        except OutgoingError as error:
            with self._lock:
                self._paused[issuer] = now + PAUSE
            raise OidcError(Failure.AWAY, f"provider.{error}") from error
        if answer.status >= 500 or answer.status == 429:
            raise OidcError(Failure.AWAY, f"provider.status_{answer.status}")
        return answer

    # The exchange

    def _exchange(
        self,
        outgoing: Outgoing,
        server: _Server,
        provider: Provider,
        attempt: Attempt,
        code: str,
        redirect_uri: str,
        now: datetime,
    ) -> Mapping[str, Any]:
        body = prepare_token_request(
            "authorization_code",
            code=code,
            redirect_uri=redirect_uri,
            code_verifier=attempt.verifier,
        )
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        _, headers, body = _client_auth(server, provider).prepare(
            "POST", server.token_endpoint, headers, body
        )
        answer = self._call(
            outgoing, "POST", server.token_endpoint, provider.issuer, now, headers, body.encode()
        )
        if answer.status == 200:
            return _object(answer, Failure.UNVERIFIED, "token")
        said = _json(answer)
        error = said.get("error") if isinstance(said, dict) else None
        if error == "invalid_grant":
            # The code was used before, is too old, or belongs to another attempt.
            raise OidcError(Failure.LOST, "token.invalid_grant")
        known = error if isinstance(error, str) and error in _TOKEN_ERRORS else answer.status
        raise OidcError(Failure.SETUP, f"token.{known}")

    def _id_token(
        self,
        outgoing: Outgoing,
        server: _Server,
        provider: Provider,
        attempt: Attempt,
        token: Mapping[str, Any],
        now: datetime,
    ) -> Mapping[str, Any]:
        text = token.get("id_token")
        if not isinstance(text, str):
            raise OidcError(Failure.UNVERIFIED, "id_token.missing")
        signed = self._signed(outgoing, server, provider, text, now, "id_token")
        claims = CodeIDToken(
            signed.claims,
            signed.header,
            {
                "iss": {"essential": True, "value": provider.issuer},
                "aud": {"essential": True, "value": provider.client_id},
            },
            {
                "nonce": attempt.nonce,
                "client_id": provider.client_id,
                "access_token": token.get("access_token"),
            },
        )
        try:
            claims.validate(now=int(now.timestamp()), leeway=LEEWAY_S)
        except ClaimError as error:
            raise OidcError(Failure.UNVERIFIED, f"id_token.{_known(error.claim)}") from error
        except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise OidcError(Failure.UNVERIFIED, "id_token.claims") from error
        if claims["iat"] < attempt.at - LEEWAY_S:
            # Made before anybody asked for it.
            raise OidcError(Failure.UNVERIFIED, "id_token.iat")
        if not oidc_claims.is_subject(claims["sub"]):
            raise OidcError(Failure.UNVERIFIED, "id_token.sub")
        if provider.acr_values and claims.get("acr") not in provider.acr_values:
            raise OidcError(Failure.UNVERIFIED, "id_token.acr")
        return dict(claims)

    def _completed(
        self,
        outgoing: Outgoing,
        server: _Server,
        provider: Provider,
        token: Mapping[str, Any],
        claims: Mapping[str, Any],
        now: datetime,
    ) -> Mapping[str, Any]:
        """The claims, with those of userinfo where some are missing."""
        access_token = token.get("access_token")
        is_complete = all(
            oidc_claims.claim(claims, name) is not None for name in provider.needed_claims
        )
        if is_complete or server.userinfo_endpoint is None or not isinstance(access_token, str):
            return claims
        if not access_token.isascii() or not access_token.isprintable():
            raise OidcError(Failure.UNVERIFIED, "token.access_token")
        answer = self._call(
            outgoing,
            "GET",
            server.userinfo_endpoint,
            provider.issuer,
            now,
            {
                "Accept": "application/json, application/jwt",
                "Authorization": f"Bearer {access_token}",
            },
        )
        more = self._userinfo(outgoing, server, provider, answer, now)
        if more.get("sub") != claims["sub"]:
            # OpenID Connect Core 1.0, section 5.3.2: it may be somebody else's.
            raise OidcError(Failure.UNVERIFIED, "userinfo.sub")
        return {**more, **claims}

    def _userinfo(
        self,
        outgoing: Outgoing,
        server: _Server,
        provider: Provider,
        answer: Answer,
        now: datetime,
    ) -> Mapping[str, Any]:
        if answer.status != 200:
            raise OidcError(Failure.SETUP, "userinfo.status")
        if "application/jwt" not in answer.headers.get("content-type", "").lower():
            return _object(answer, Failure.UNVERIFIED, "userinfo")
        text = answer.body.decode("ascii", "replace").strip()
        more = self._signed(outgoing, server, provider, text, now, "userinfo").claims
        if more.get("iss", provider.issuer) != provider.issuer:
            raise OidcError(Failure.UNVERIFIED, "userinfo.iss")
        if provider.client_id not in oidc_claims.texts(more.get("aud", provider.client_id)):
            raise OidcError(Failure.UNVERIFIED, "userinfo.aud")
        return more

    def _signed(
        self,
        outgoing: Outgoing,
        server: _Server,
        provider: Provider,
        text: str,
        now: datetime,
        what: str,
    ) -> jwt.Token:
        """A token whose signature holds; its claims are not looked at."""
        registry = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
        keys = self._keys(outgoing, server, provider.issuer, now)
        try:
            try:
                return jwt.decode(text, keys, registry=registry)
            except InvalidKeyIdError:
                keys = self._keys(outgoing, server, provider.issuer, now, look_again=True)
                return jwt.decode(text, keys, registry=registry)
        except UnsupportedAlgorithmError as error:
            raise OidcError(Failure.UNVERIFIED, f"{what}.algorithm") from error
        except InvalidKeyIdError as error:
            raise OidcError(Failure.UNVERIFIED, f"{what}.key") from error
        except BadSignatureError as error:
            raise OidcError(Failure.UNVERIFIED, f"{what}.signature") from error
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise OidcError(Failure.UNVERIFIED, f"{what}.malformed") from error


def _discovery_url(issuer: str) -> str:
    return f"{issuer.rstrip('/')}/.well-known/openid-configuration"


def _understood(document: Mapping[str, Any], issuer: str) -> _Server:
    """The discovery document of that issuer and of no other.

    Raises:
        OidcError: SETUP.
    """
    if document.get("issuer") != issuer:
        raise OidcError(Failure.SETUP, "discovery.issuer")
    methods = document.get("token_endpoint_auth_methods_supported")
    userinfo = document.get("userinfo_endpoint")
    return _Server(
        authorization_endpoint=_endpoint(document, "authorization_endpoint"),
        token_endpoint=_endpoint(document, "token_endpoint"),
        jwks_uri=_endpoint(document, "jwks_uri"),
        userinfo_endpoint=None if userinfo is None else _endpoint(document, "userinfo_endpoint"),
        takes_basic=not isinstance(methods, list) or "client_secret_basic" in methods,
        says_issuer=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _endpoint(document: Mapping[str, Any], name: str) -> str:
    """An address that codes, secrets and people may be sent to."""
    url = document.get(name)
    if not isinstance(url, str) or not is_safe_url(url):
        raise OidcError(Failure.SETUP, f"discovery.{name}")
    return url


def _usable(document: Mapping[str, Any]) -> KeySet:
    """The provider's keys that can prove a signature of its own.

    Raises:
        OidcError: there is none.
    """
    published = document.get("keys")
    keys = []
    for data in published if isinstance(published, list) else []:
        key = _key(data)
        if key is not None:
            keys.append(key)
    if not keys:
        raise OidcError(Failure.SETUP, "keys.none")
    return KeySet(keys)


def _key(data: Any) -> Key | None:
    if not isinstance(data, dict) or data.get("kty") not in _KEY_TYPES or data.get("use") == "enc":
        return None
    try:
        if data["kty"] == "RSA" and _bits(data["n"]) < _RSA_MIN_BITS:
            return None
        return JWKRegistry.import_key(data)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        # One that cannot be read is nobody's; those beside it may be good.
        return None


def _bits(number: str) -> int:
    raw = base64.urlsafe_b64decode(number.encode("ascii") + b"==")
    return int.from_bytes(raw, "big").bit_length()


def _client_auth(server: _Server, provider: Provider) -> ClientAuth:
    if provider.client_secret is None:
        return ClientAuth(provider.client_id, None, "none")
    if server.takes_basic:
        # RFC 6749, section 2.3.1: both are form-encoded first.
        return ClientAuth(
            quote(provider.client_id, safe=""),
            quote(provider.client_secret, safe=""),
            "client_secret_basic",
        )
    return ClientAuth(provider.client_id, provider.client_secret, "client_secret_post")


def _object(answer: Answer, failure: Failure, what: str) -> Mapping[str, Any]:
    """The JSON object of a good answer."""
    if answer.status != 200:
        raise OidcError(failure, f"{what}.status")
    said = _json(answer)
    if not isinstance(said, dict):
        raise OidcError(failure, f"{what}.unreadable")
    return said


def _json(answer: Answer) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return None


def _known(claim: Any) -> str:
    """A claim's name as it may stand in the log."""
    known = (
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "nonce",
        "azp",
        "amr",
        "at_hash",
        "auth_time",
    )
    return claim if claim in known else "claims"
