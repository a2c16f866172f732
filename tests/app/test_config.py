"""Settings: what cannot be used is named at the start, in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.config import SettingError, Settings

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://me:secret@db/city"),
        ("REDIS_URL", "cache.internal:6379"),
        ("SMTP_URL", "gopher://me:secret@mail.example"),
        ("SMTP_URL", "smtp://"),
        ("SMTP_URL", "smtp://me:secret@mail.example:smtp"),
        ("SMS_URL", "sms.example/secret"),
        ("STORAGE_URL", "/srv/secret"),
        ("GEOCODER_URL", "nominatim.internal"),
        ("PUBLIC_URL", "ville.example"),
        ("OUTGOING_ALLOW", "sms.internal, 10.2.0.0/99"),
        ("LOG_LEVEL", "loud"),
        ("WEB_WORKERS", "0"),
        ("WEB_THREADS", "-1"),
        ("PIPELINE_WORKERS", "0"),
        ("TRUSTED_PROXIES", "-1"),
        ("GEOCODER_TIMEOUT_S", "nan"),
        ("VAPID_PRIVATE_KEY", "secret"),
        ("VAPID_PRIVATE_KEY", "-----BEGIN secret"),
        ("VAPID_PRIVATE_KEY", "A" * 43),
        ("VAPID_SUBJECT", "secret@ville.example"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_and_no_secret_is_told(
    tmp_path: Path, name: str, value: str
) -> None:
    with pytest.raises(SettingError, match=name) as refused:
        Settings.load({"DATA_DIR": str(tmp_path), name: value})
    assert "secret" not in str(refused.value)
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql+psycopg://riverain@/riverain?host=/srv/run/pg"),
        ("DATABASE_URL", "postgresql://me:x@db.internal:5433/city"),
        ("REDIS_URL", "unix:///srv/run/valkey.sock?db=0"),
        ("REDIS_URL", "rediss://:x@cache.internal:6379/0"),
        ("SMTP_URL", "smtp+starttls://me:x@mail.example:587"),
        ("SMS_URL", "http://sms.internal/send?to=number#json"),
        ("STORAGE_URL", "s3://KEY:x@127.0.0.1:9000/bucket?tls=off"),
        ("OUTGOING_ALLOW", "sms.internal,10.2.0.0/16 [::1]"),
        ("LOG_LEVEL", "warning"),
        ("TRUSTED_PROXIES", "0"),
        ("VAPID_PRIVATE_KEY", "A" * 42 + "E"),
        ("VAPID_SUBJECT", "mailto:numerique@ville.example"),
    ],
)
def test_what_the_documents_show_is_taken(tmp_path: Path, name: str, value: str) -> None:
    Settings.load({"DATA_DIR": str(tmp_path), name: value})


def test_a_command_says_which_setting_is_wrong_and_not_where_in_the_code(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "flask", "settings"],
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), "SMTP_URL": "gopher://x"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith("Error: SMTP_URL must be a URL that starts with smtp://,")
    assert ended.stderr.count("\n") == 1


LONG_KEY = "0123456789abcdef0123456789abcdef"


def production(data_dir: Path, **others: str) -> Settings:
    return Settings.load({"DATA_DIR": str(data_dir), "ENVIRONMENT": "production", **others})


def test_production_starts_only_with_a_key_of_its_own_that_is_long_enough(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="SECRET_KEY must be set"):
        production(tmp_path)
    with pytest.raises(SettingError, match="SECRET_KEY has 31 characters"):
        production(tmp_path, SECRET_KEY=LONG_KEY[:31])
    assert production(tmp_path, SECRET_KEY=LONG_KEY).secret_key == LONG_KEY
    assert list(tmp_path.iterdir()) == []


def test_a_secret_may_come_from_a_file_that_only_its_name_is_told_of(tmp_path: Path) -> None:
    kept = tmp_path / "key"
    kept.write_text(f"{LONG_KEY}\n", encoding="utf-8")

    assert production(tmp_path, SECRET_KEY_FILE=str(kept)).secret_key == LONG_KEY
    kept.write_text("short", encoding="utf-8")
    with pytest.raises(SettingError, match="SECRET_KEY has 5 characters") as refused:
        production(tmp_path, SECRET_KEY_FILE=str(kept))
    assert "short" not in str(refused.value)
    with pytest.raises(SettingError, match="SECRET_KEY_FILE cannot be read"):
        production(tmp_path, SECRET_KEY_FILE=str(tmp_path / "none"))


def test_development_makes_its_key_once_and_lets_nobody_else_read_it(tmp_path: Path) -> None:
    first = Settings.load({"DATA_DIR": str(tmp_path)}).secret_key

    assert len(first) >= 32
    assert Settings.load({"DATA_DIR": str(tmp_path)}).secret_key == first
    assert (tmp_path / "secret_key").stat().st_mode & 0o077 == 0


def test_client_secrets_are_read_city_by_city_and_shown_to_nobody(tmp_path: Path) -> None:
    kept = tmp_path / "oidc"
    kept.write_text("montpellier=a/b+c==\nlille=s3cret\n", encoding="utf-8")
    settings = Settings.load({"DATA_DIR": str(tmp_path), "OIDC_CLIENT_SECRETS_FILE": str(kept)})
    assert settings.client_secrets == {"montpellier": "a/b+c==", "lille": "s3cret"}
    assert settings.show("oidc_client_secrets") == "********"
    assert Settings.load({"DATA_DIR": str(tmp_path)}).client_secrets == {}


@pytest.mark.parametrize("text", ["s3cret", "lille=x s3cret", "=s3cret", "s3cret="])
def test_a_client_secret_without_its_city_is_refused_and_not_repeated(
    tmp_path: Path, text: str
) -> None:
    with pytest.raises(SettingError, match="OIDC_CLIENT_SECRETS must be pairs") as refused:
        Settings.load({"DATA_DIR": str(tmp_path), "OIDC_CLIENT_SECRETS": text})
    assert "s3cret" not in str(refused.value)
