"""How staff sign in, as a city folder says it: what is taken, and each mistake by its line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from accounts import oidc
from accounts.oidc.claims import Mapped
from accounts.rules import Role
from app.city_reading import CityFolderError, read_city
from geo import jurisdictions
from tests.factories import new_jurisdiction

CITIES = Path(__file__).parents[2] / "cities"

SIGN_IN = """
  sign_in:
    second_factor: staff
    oidc:
      issuer: https://sso.boston.example/realms/city
      client_id: riverain
      name: {en: City account, fr: Compte de la ville}
      roles_claim: realm_access.roles
      teams_claim: teams
      email_domains: [boston.example]
      grants:
        - {value: riverain-agents, role: agent, by_team: true}
        - {value: riverain-water, role: manager, team: water}
        - {value: "4417", role: auditor}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the small demo city, whose staff sign in at a provider."""
    copy = tmp_path / "boston"
    shutil.copytree(CITIES / "boston", copy)
    path = copy / "city.yaml"
    text = path.read_text(encoding="utf-8")
    assert text.count("\npolicy:\n") == 1
    path.write_text(text.replace("\npolicy:\n", f"\npolicy:{SIGN_IN}"), encoding="utf-8")
    return copy


def test_what_the_folder_says_is_what_the_sign_in_uses(folder: Path, session: Session) -> None:
    policy = read_city(folder).jurisdiction.policy
    stored = json.loads(json.dumps(policy))
    assert stored == policy
    assert policy["sign_in"]["second_factor"] == "staff"
    new_jurisdiction(session, code="boston", policy=stored)
    jurisdictions.forget()
    provider = oidc.configured(session, "boston", {"boston": "s3cret"})
    assert provider is not None
    assert provider.client_secret == "s3cret"
    assert provider.scopes == ("openid", "email", "profile")
    assert provider.email_domains == {"boston.example"}
    assert provider.name("fr") == "Compte de la ville"
    assert provider.grants == (
        Mapped("riverain-agents", Role.AGENT, is_by_team=True),
        Mapped("riverain-water", Role.MANAGER, team="water"),
        Mapped("4417", Role.AUDITOR),
    )


def test_the_list_of_ways_knows_no_secret(session: Session, folder: Path) -> None:
    new_jurisdiction(session, code="boston", policy=read_city(folder).jurisdiction.policy)
    (offered,) = oidc.offered(session)
    assert offered.client_secret is None
    assert offered.path == "/sign-in/oidc/boston"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("https://sso", "http://sso", "must be an https:// address"),
        ("https://sso.", "https://user:pass@sso.", "must be an https:// address"),
        ("/realms/city", "/realms/city#a", "must be an https:// address"),
        ("/realms/city", "/realms/city?a=b", "must be an https:// address"),
        ("client_id: riverain\n", "client_id: ''\n", "is empty"),
        (", fr: Compte de la ville", "", "the fr translation is missing"),
        ("role: agent", "role: citizen", "is not one of viewer, agent, manager, admin"),
        ("team: water", "team: watter", "there is no team “watter”"),
        ("team: water", "team: water, by_team: true", "either team or by_team"),
        ("teams_claim: teams", "email_claim: mail", "a grant by team needs it"),
        (", by_team: true", "", "no grant has by_team: true"),
        ("[boston.example]", "['@boston.example']", "is not a domain such as"),
        ("[boston.example]", "[]", "length"),
        ("second_factor: staff", "second_factor: always", "is not one of optional, staff"),
        ("client_id:", "client_secret: s3cret\n      client_id:", "unknown key “client_secret”"),
        ("roles_claim:", "scopes: [email]\n      roles_claim:", "must name openid"),
        ("roles_claim:", "scopes: [openid, 'a b']\n      roles_claim:", "is not a scope"),
    ],
)
def test_a_mistake_names_file_line_and_reason(
    folder: Path, old: str, new: str, reason: str
) -> None:
    path = folder / "city.yaml"
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(CityFolderError) as caught:
        read_city(folder)
    found = [str(fault) for fault in caught.value.faults if reason in str(fault).lower()]
    assert found, [str(fault) for fault in caught.value.faults]
    assert found[0].startswith("city.yaml:")


def test_nobody_can_sign_in_without_a_role_unless_the_city_says_so(folder: Path) -> None:
    path = folder / "city.yaml"
    text = path.read_text(encoding="utf-8")
    head, _, tail = text.partition("      grants:\n")
    tail = "".join(line for line in tail.splitlines(keepends=True) if "- {value:" not in line)
    head = head.replace("      teams_claim: teams\n", "")
    path.write_text(head + tail, encoding="utf-8")
    with pytest.raises(CityFolderError, match="nobody could sign in"):
        read_city(folder)
    path.write_text(head + "      allow_unmapped: true\n" + tail, encoding="utf-8")
    read_city(folder)
