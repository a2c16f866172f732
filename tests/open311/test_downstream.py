"""Endpoints of a city folder: loaded, named, and never with a secret in them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from app.city import load_city
from app.city_reading import CityFolderError, read_city
from app.config import SettingError, Settings
from open311.downstream import endpoint_named, endpoints, webhook_secret, webhook_url
from open311.downstream_models import DownstreamEndpoint, DownstreamTeam
from open311.rules import ListStyle
from tests.factories import stored
from tests.open311.foreign import running

CITIES = Path(__file__).parents[2] / "cities"

LAMPS = """\
downstream:
  lampes:
    url: https://311.lampes.example/open311/v2/
    jurisdiction_id: metropole.example
    key: lampes
    format: xml
    list: single
    services:
      SERVICE: {code: "L-01", attributes: {etat: STATE}, values: {etat: {eteint: "OFF"}}}
    statuses: {Terminé: resolved}
    time_zone: Europe/Paris

"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the small demo city, whose first team lives elsewhere."""
    copy = tmp_path / "boston"
    shutil.copytree(CITIES / "boston", copy)
    service = read_city(copy).services[0].code
    write(copy, LAMPS.replace("SERVICE", service))
    return copy


def write(folder: Path, block: str, *, lives: str = "lampes") -> None:
    path = folder / "teams.yaml"
    text = (CITIES / "boston" / "teams.yaml").read_text(encoding="utf-8")
    text = text.replace("teams:\n", f"{block}teams:\n", 1)
    first = text.index("  - code:", text.index("teams:\n"))
    end = text.index("\n", first)
    path.write_text(f"{text[:end]}\n    downstream: {lives}{text[end:]}", encoding="utf-8")


def test_endpoints_are_loaded_with_the_city_and_twice_changes_nothing(
    session: Session, folder: Path
) -> None:
    loaded = load_city(session, read_city(folder))
    assert loaded.changes["downstream"].created == 1
    [endpoint] = endpoints(session).values()
    assert endpoint.name == "boston.lampes"
    assert endpoint.spec.url == "https://311.lampes.example/open311/v2"
    assert endpoint.spec.list is ListStyle.SINGLE
    [(own, service)] = endpoint.spec.services.items()
    assert (service.code, service.attributes) == ("L-01", {"etat": "STATE"})
    assert endpoint.service(own) == service
    assert endpoint.service("something-else") is None
    assert endpoint_named(session, "boston.lampes") == endpoint
    assert endpoint_named(session, "boston.autre") is None
    assert len(stored_teams(session)) == 1

    again = load_city(session, read_city(folder))
    assert not again.is_changed
    assert again.version == loaded.version


def stored_teams(session: Session) -> list[int]:
    session.expire_all()
    return [row.team_id for row in session.query(DownstreamTeam)]


def test_what_left_the_folder_is_gone_and_the_team_works_here_again(
    session: Session, folder: Path
) -> None:
    load_city(session, read_city(folder))
    shutil.copy(CITIES / "boston" / "teams.yaml", folder / "teams.yaml")
    assert load_city(session, read_city(folder)).changes["downstream"].retired == 1
    assert stored(session, DownstreamEndpoint) == []
    assert stored_teams(session) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("https://311.lampes.example", "ftp://311.lampes.example", "is not an address"),
        ("https://311", "https://user:secret@311", "credentials"),
        ("/v2/", "/v2/services.json", "the address of the endpoint"),
        ("list: single", "list: sometimes", "is not one of ids, single, updated, none"),
        ("SERVICE:", "no-such-service:", "there is no service “no-such-service”"),
        ("Europe/Paris", "Europe/Nowhere", "is not a time zone"),
        ("resolved", "repaired", "is not one of received"),
        ("    key: lampes\n", "    api_key: abc\n", "api_key"),
    ],
)
def test_a_fault_is_named_with_its_line(folder: Path, old: str, new: str, said: str) -> None:
    service = read_city(folder).services[0].code
    assert old in LAMPS
    write(folder, LAMPS.replace(old, new).replace("SERVICE", service))
    with pytest.raises(CityFolderError) as caught:
        read_city(folder)
    assert any(
        said in str(fault) and str(fault).startswith("teams.yaml:") for fault in caught.value.faults
    ), caught.value.faults


def test_a_team_cannot_live_where_nothing_is(folder: Path) -> None:
    service = read_city(folder).services[0].code
    write(folder, LAMPS.replace("SERVICE", service), lives="ailleurs")
    with pytest.raises(CityFolderError) as caught:
        read_city(folder)
    assert [fault.reason for fault in caught.value.faults] == [
        "there is no downstream “ailleurs” in this file"
    ]


def test_the_webhook_has_an_address_and_a_secret_of_its_own(session: Session, folder: Path) -> None:
    load_city(session, read_city(folder))
    [endpoint] = endpoints(session).values()
    assert webhook_url("https://ville.example", endpoint) == (
        "https://ville.example/open311/downstream/boston.lampes/updates"
    )
    assert webhook_secret("a" * 32, endpoint) != webhook_secret("b" * 32, endpoint)


def test_keys_are_a_setting_and_masked() -> None:
    settings = Settings.load({"OPEN311_KEYS": "lampes=abc=def metropole=ghi", "SECRET_KEY": "x"})
    assert settings.downstream_keys == {"lampes": "abc=def", "metropole": "ghi"}
    assert settings.shown()["OPEN311_KEYS"] == "********"
    with pytest.raises(SettingError, match="number 2 is not") as caught:
        Settings.load({"OPEN311_KEYS": "lampes=abc secret", "SECRET_KEY": "x"})
    assert "secret" not in str(caught.value)


def test_commands_refuse_what_they_cannot_do(app: Flask) -> None:
    runner = app.test_cli_runner()
    with running() as foreign:
        # Nobody named it in OUTGOING_ALLOW.
        shown = runner.invoke(args=["open311", "check", foreign.url])
        assert shown.exit_code == 1
        assert "private_address" in shown.output
        assert foreign.calls == []
    shown = runner.invoke(args=["open311", "check", "file:///etc/passwd"])
    assert shown.exit_code == 2
    shown = runner.invoke(args=["open311", "check", "--key", "none", "https://311.example/v2"])
    assert shown.exit_code == 2
    shown = runner.invoke(args=["open311", "webhook", "boston.lampes"])
    assert shown.exit_code == 1


def test_check_tells_what_a_poor_endpoint_lacks_and_posts_nothing(
    new_app: Callable[..., Flask],
) -> None:
    runner = new_app(outgoing_allow="127.0.0.1").test_cli_runner()
    with running() as foreign:
        foreign.format = "xml"
        foreign.shows_times = False
        foreign.take({"service_code": "L-01", "description": "Une lampe."})
        shown = runner.invoke(args=["open311", "check", f"{foreign.url}/"])
        assert {call.method for call in foreign.calls} == {"GET"}
    assert shown.exit_code == 0
    said = {line[5:33].strip(): line[:3].strip() for line in shown.output.splitlines()}
    assert said["services in XML"] == "yes"
    assert said["services in JSON"] == "no"
    assert said["discovery"] == "no"
    assert said["updated_datetime"] == "no"
    assert said["errors"] == "yes"
    assert f"    url: {foreign.url}\n" in shown.output
    assert "    format: xml\n" in shown.output
