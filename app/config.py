"""Every setting of Riverain, once: its name in the environment, its default, what it is for.

`docs/configuration.md` documents each of them; a test compares the two. A secret may also be
given as a file: `SECRET_KEY_FILE=/run/secrets/key`.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

#: Everything that is signed or derived hangs on this key: 32 random characters carry more than
#: the 128 bits of the tokens that are made with it.
SECRET_KEY_MIN = 32


class SettingError(ValueError):
    """A setting that cannot be used; the message names it and says what it should be."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings in force. Make them with `Settings.load`, which reads and checks."""

    host: str = "127.0.0.1"
    port: int = 8000
    data_dir: Path = Path("var")
    database_url: str | None = None
    redis_url: str | None = None
    smtp_url: str | None = None
    mail_from: str = "Riverain <riverain@localhost>"
    sms_url: str | None = None
    sms_token: str | None = None
    vapid_private_key: str | None = None
    vapid_subject: str | None = None
    storage_url: str | None = None
    geocoder: str = "none"
    geocoder_url: str | None = None
    geocoder_timeout_s: float = 3.0
    outgoing_allow: str = ""
    weather_forecast_url: str | None = None
    weather_alerts_url: str | None = None
    weather_alert_areas: str | None = None
    weather_timeout_s: float = 10.0
    campaign_confirm_above: int = 500
    oidc_client_secrets: str | None = None
    open311_keys: str | None = None
    demo: bool = True
    public_url: str | None = None
    default_jurisdiction: str | None = None
    rate_limits: bool = True
    trusted_proxies: int = 0
    secret_key: str = ""
    environment: str = "development"
    web_workers: int = 2
    web_threads: int = 4
    pipeline_workers: int = 2
    research_days: int = 90
    log_level: str = "INFO"

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """The settings of `environ` (by default the process's own).

        Raises:
            SettingError: a value is not what the setting takes.
        """
        given = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for field in fields(cls):
            text = _value(given, field.name.upper())
            if text is not None:
                values[field.name] = _parse(field.name, text)
        settings = cls(**values)
        settings._check()
        if not settings.secret_key:
            values["secret_key"] = _kept_secret(settings)
            settings = cls(**values)
        return settings

    def _check(self) -> None:
        if not 0 < self.port < 65536:
            raise SettingError(f"PORT is {self.port}; it must be a number from 1 to 65535.")
        if self.geocoder not in ("none", "nominatim", "ban", "photon"):
            raise SettingError(
                f"GEOCODER is {self.geocoder!r}; it can be none, nominatim, ban or photon."
            )
        if self.environment not in ("development", "production"):
            raise SettingError(
                f"ENVIRONMENT is {self.environment!r}; it can be development or production."
            )
        if self.log_level not in _LOG_LEVELS:
            raise SettingError(
                f"LOG_LEVEL is {self.log_level!r}; it can be DEBUG, INFO, WARNING or ERROR."
            )
        if self.environment == "production" and 0 < len(self.secret_key) < SECRET_KEY_MIN:
            raise SettingError(
                f"SECRET_KEY has {len(self.secret_key)} characters; production needs at least"
                f" {SECRET_KEY_MIN}."
            )
        for name, least in _AT_LEAST.items():
            if (value := getattr(self, name)) < least:
                raise SettingError(f"{name.upper()} is {value}; it must be at least {least}.")
        for name in ("geocoder_timeout_s", "weather_timeout_s"):
            if not 0 < getattr(self, name) < float("inf"):
                raise SettingError(
                    f"{name.upper()} is {getattr(self, name)}; it must be more than 0."
                )
        for name in _SCHEMES:
            self._check_url(name)
        self._check_weather()
        self._check_push()
        for place, word in enumerate((self.oidc_client_secrets or "").split(), start=1):
            city, _, secret = word.partition("=")
            if not city or not secret:
                # Whatever stands there may be a secret.
                raise SettingError(
                    f"OIDC_CLIENT_SECRETS must be pairs like city=secret; number {place} is not."
                )
        for place, word in enumerate((self.open311_keys or "").split(), start=1):
            name, _, key = word.partition("=")
            if not name or not key:
                raise SettingError(
                    f"OPEN311_KEYS must be pairs like name=key; number {place} is not."
                )
        for word in self.outgoing_allow.replace(",", " ").split():
            if "/" in word and not _is_network(word):
                raise SettingError(
                    f"OUTGOING_ALLOW names {word!r}; an entry with a slash must be a network "
                    "like 10.2.0.0/16."
                )

    def _check_weather(self) -> None:
        """See that alerts and their areas are said as they are read; a URL may hold a key."""
        for place, word in enumerate((self.weather_alerts_url or "").split(), start=1):
            city, _, url = word.partition("=")
            address = word if "/" in city or ":" in city else url
            parts = _split(address)
            if parts is None or parts.scheme not in _WEATHER or not (parts.netloc or parts.path):
                raise SettingError(
                    "WEATHER_ALERTS_URL must be a URL (https, http or file), or pairs like"
                    f" city=URL; number {place} is not."
                )
        for word in (self.weather_alert_areas or "").split():
            city, _, geocode = word.partition("=")
            if not city or not all(geocode.partition(":")):
                raise SettingError(
                    f"WEATHER_ALERT_AREAS names {word!r}; it must be pairs like city=EMMA_ID:FR034."
                )

    def _check_push(self) -> None:
        """See that the key of web push is one: with another no message at all is delivered."""
        if self.vapid_private_key is not None:
            # Loads a crypto library, where there is use for it.
            from notifications.channels import vapid

            try:
                vapid.public_key(self.vapid_private_key)
            except ValueError:
                # What the library says of it may repeat it.
                raise SettingError(
                    "VAPID_PRIVATE_KEY must be a P-256 key, PEM or raw in base64url."
                ) from None
        subject = self.vapid_subject
        if subject is not None and not subject.startswith(("mailto:", "https://")):
            raise SettingError("VAPID_SUBJECT must start with mailto: or https://.")

    def _check_url(self, name: str) -> None:
        """See that a URL has a scheme that is understood; its text may hold a password."""
        url = getattr(self, name)
        if url is None:
            return
        parts = _split(url)
        if parts is None or parts.scheme not in _SCHEMES[name]:
            *others, last = (f"{scheme}://" for scheme in _SCHEMES[name])
            known = f"{', '.join(others)} or {last}" if others else last
            raise SettingError(f"{name.upper()} must be a URL that starts with {known}.")
        is_here = name in _ON_THIS_MACHINE or parts.scheme == "file"
        if not is_here and not parts.hostname:
            raise SettingError(f"{name.upper()} names no host.")

    @property
    def base_url(self) -> str:
        """What links in messages start with, without a slash at the end."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def client_secrets(self) -> Mapping[str, str]:
        """The secrets of `OIDC_CLIENT_SECRETS`, by city."""
        pairs = (word.partition("=") for word in (self.oidc_client_secrets or "").split())
        return {city: secret for city, _, secret in pairs}

    @property
    def downstream_keys(self) -> Mapping[str, str]:
        """The keys of `OPEN311_KEYS`, by the names that city folders call them."""
        pairs = (word.partition("=") for word in (self.open311_keys or "").split())
        return {name: key for name, _, key in pairs}

    def shown(self) -> dict[str, str]:
        """Every setting by its name in the environment, secrets masked."""
        return {name.upper(): self.show(name) for name in (f.name for f in fields(self))}

    def show(self, name: str) -> str:
        """One setting as text, masked when it is a secret."""
        value = getattr(self, name)
        if value is None:
            return ""
        if name in _SECRETS:
            return "********" if value else ""
        if name in _URLS_WITH_PASSWORD:
            return _masked(str(value))
        if isinstance(value, bool):
            return "1" if value else "0"
        return str(value)


_SECRETS = frozenset(
    {
        "secret_key",
        "sms_token",
        "vapid_private_key",
        "oidc_client_secrets",
        "open311_keys",
        "weather_forecast_url",
        "weather_alerts_url",
    }
)
_URLS_WITH_PASSWORD = frozenset({"database_url", "redis_url", "smtp_url", "sms_url", "storage_url"})
_WEATHER = ("https", "http", "file")
#: How each of them may start; `docs/configuration.md` says what it means.
_SCHEMES: Mapping[str, tuple[str, ...]] = {
    "database_url": ("postgresql+psycopg", "postgresql"),
    "redis_url": ("redis", "rediss", "unix"),
    "smtp_url": ("smtp", "smtp+starttls", "smtps"),
    "sms_url": ("https", "http"),
    "storage_url": ("s3",),
    "geocoder_url": ("https", "http"),
    "weather_forecast_url": _WEATHER,
    "public_url": ("https", "http"),
}
#: A socket stands in the path or the query, and a Redis without a host is the one of this machine.
_ON_THIS_MACHINE = frozenset({"database_url", "redis_url"})
_LOG_LEVELS = frozenset({"DEBUG", "INFO", "WARNING", "ERROR"})
_AT_LEAST = {
    "web_workers": 1,
    "web_threads": 1,
    "pipeline_workers": 1,
    "trusted_proxies": 0,
    "campaign_confirm_above": 1,
    "research_days": 0,
}
_TRUE = frozenset({"1", "on", "yes", "true"})
_FALSE = frozenset({"0", "off", "no", "false"})


def _value(environ: Mapping[str, str], name: str) -> str | None:
    """The text of a setting, from `NAME` or the file that `NAME_FILE` names; empty is unset."""
    text = environ.get(name, "").strip()
    path = environ.get(f"{name}_FILE", "").strip()
    if not text and path:
        try:
            text = Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingError(f"{name}_FILE cannot be read: {error.strerror}.") from error
    return text or None


def _parse(name: str, text: str) -> Any:
    kind = type(_DEFAULTS[name])
    if name == "data_dir":
        return Path(text).expanduser()
    if name == "log_level":
        return text.upper()
    if kind is bool:
        if text.lower() in _TRUE:
            return True
        if text.lower() in _FALSE:
            return False
        raise SettingError(f"{name.upper()} is {text!r}; it can be on or off.")
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError as error:
            raise SettingError(f"{name.upper()} is {text!r}; it must be a number.") from error
    return text


_DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(Settings)}


def _kept_secret(settings: Settings) -> str:
    """A key made at first start and kept in DATA_DIR; production must set its own."""
    if settings.environment == "production":
        raise SettingError("SECRET_KEY must be set when ENVIRONMENT is production.")
    path = settings.data_dir / "secret_key"
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
    except FileExistsError:
        pass
    except OSError as error:
        raise SettingError(f"DATA_DIR {settings.data_dir} cannot be written.") from error
    return path.read_text(encoding="utf-8").strip()


def _split(url: str) -> SplitResult | None:
    """The parts of a URL; None when it cannot be taken apart, down to its port."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - read for its ValueError
    except ValueError:
        return None
    return parts


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return False
    return True


def _masked(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}:********@{place}"))
