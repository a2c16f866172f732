"""What a provider's claims give, by tables."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.oidc import claims as oidc_claims
from accounts.oidc.claims import Mapped, RoleAt
from accounts.rules import Role

GRANTS = (
    Mapped("lecteurs", Role.VIEWER),
    Mapped("agents", Role.AGENT, is_by_team=True),
    Mapped("voirie-chefs", Role.MANAGER, team="voirie"),
    Mapped("34172", Role.AUDITOR),
)


@pytest.mark.parametrize(
    ("claims", "roles"),
    [
        ({}, set()),
        ({"groups": None}, set()),
        ({"groups": "lecteurs"}, {RoleAt(Role.VIEWER, None)}),
        ({"groups": ["lecteurs", "autre"]}, {RoleAt(Role.VIEWER, None)}),
        ({"groups": 34172}, {RoleAt(Role.AUDITOR, None)}),
        ({"groups": ["lecteurs agents"]}, set()),
        ({"groups": ["LECTEURS"]}, set()),
        ({"groups": {"lecteurs": True}}, set()),
        ({"groups": [True, ["lecteurs"], None]}, set()),
        ({"groups": ["agents"]}, set()),
        ({"groups": ["agents"], "teams": "voirie"}, {RoleAt(Role.AGENT, "voirie")}),
        (
            {"groups": ["agents"], "teams": ["voirie", "eau", "inconnue"]},
            {RoleAt(Role.AGENT, "voirie"), RoleAt(Role.AGENT, "eau")},
        ),
        ({"groups": ["voirie-chefs"]}, {RoleAt(Role.MANAGER, "voirie")}),
    ],
)
def test_roles_come_from_the_mapped_values_alone(
    claims: dict[str, Any], roles: set[RoleAt]
) -> None:
    found = oidc_claims.roles_at(
        claims, GRANTS, roles_claim="groups", teams_claim="teams", teams={"voirie", "eau"}
    )
    assert found == roles


def test_a_role_for_a_team_that_is_gone_is_not_one_for_the_whole_city() -> None:
    found = oidc_claims.roles_at(
        {"groups": ["voirie-chefs"]}, GRANTS, roles_claim="groups", teams_claim=None, teams=()
    )
    assert found == frozenset()


def test_a_claim_is_found_by_its_name_before_its_path() -> None:
    claims = {"a.b": 1, "a": {"b": 2, "c": {"d": 3}}}
    assert oidc_claims.claim(claims, "a.b") == 1
    assert oidc_claims.claim(claims, "a.c.d") == 3
    assert oidc_claims.claim(claims, "a.c.d.e") is None


@pytest.mark.parametrize(
    ("verified", "domains", "is_proven"),
    [
        (True, None, True),
        ("true", None, True),
        (None, None, False),
        (False, None, False),
        ("false", None, False),
        (1, None, False),
        (None, {"ville.example"}, True),
        (True, {"ville.example"}, True),
        (False, {"ville.example"}, False),
        (True, {"autre.example"}, False),
        (None, {"autre.example"}, False),
    ],
)
def test_an_address_is_proven_when_the_provider_may_and_does_vouch_for_it(
    verified: Any, domains: set[str] | None, is_proven: bool
) -> None:
    claims = {"email": " Ada@Ville.example ", "email_verified": verified}
    if verified is None:
        del claims["email_verified"]
    found = oidc_claims.proven_email(claims, "email", domains=domains)
    assert found == ("ada@ville.example" if is_proven else None)


@pytest.mark.parametrize("value", [None, 5, ["a@b.example"], "no address", "a@b\x00.example"])
def test_what_is_no_address_is_none(value: Any) -> None:
    claims = {"email": value, "email_verified": True}
    assert oidc_claims.claimed_email(claims, "email") is None


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"name": " Ada  Lovelace "}, "Ada Lovelace"),
        ({"given_name": "Ada", "family_name": "Lovelace"}, "Ada Lovelace"),
        ({"given_name": "Ada", "usual_name": "Lovelace"}, "Ada Lovelace"),
        ({"name": 5, "given_name": "Ada"}, "Ada"),
        ({"name": "Ada\u202e\x00Love\ud800lace"}, "Ada Lovelace"),
        ({"name": "\u200b"}, None),
        ({}, None),
    ],
)
def test_a_name_is_shown_as_plain_words(claims: dict[str, Any], name: str | None) -> None:
    assert oidc_claims.full_name(claims) == name


@given(st.text())
def test_any_name_can_be_stored(text: str) -> None:
    name = oidc_claims.full_name({"name": text})
    assert name is None or (0 < len(name) <= oidc_claims.NAME_MAX and "\x00" not in name)


@pytest.mark.parametrize(
    ("amr", "several"),
    [
        (["mfa"], True),
        ("mfa", True),
        (["pwd", "otp"], True),
        (["hwk", "fpt"], True),
        (["pwd"], False),
        (["pwd", "pin"], False),
        (["otp", "sms"], False),
        (None, False),
        (7, False),
    ],
)
def test_two_kinds_of_proof_are_several_factors(amr: Any, several: bool) -> None:
    assert oidc_claims.has_several_factors({"amr": amr}) is several


def test_a_language_of_ours_is_kept() -> None:
    assert oidc_claims.locale({"locale": "fr-FR"}, ("fr", "en")) == "fr"
    assert oidc_claims.locale({"locale": "en_GB"}, ("fr", "en")) == "en"
    assert oidc_claims.locale({"locale": "de"}, ("fr", "en")) is None
    assert oidc_claims.locale({"locale": ["fr"]}, ("fr", "en")) is None


@pytest.mark.parametrize("value", [None, "", 5, "é", "a\x00b", "x" * 256])
def test_what_the_standard_does_not_call_a_subject_is_none(value: Any) -> None:
    assert not oidc_claims.is_subject(value)
