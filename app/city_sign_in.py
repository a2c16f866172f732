"""What a city folder may say of how its staff sign in: `policy.sign_in` of `city.yaml`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from accounts.oidc import is_safe_url
from accounts.rules import Role
from app.city_fields import Code, Schema, Text, Translated, one_of
from app.city_files import Document, Findings

#: Roles that are given in a city. Everybody is a citizen.
_ROLES = tuple(role.value for role in Role if role is not Role.CITIZEN)

#: What OpenID Connect calls a scope (RFC 6749, section 3.3): one word.
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,100}")

_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")


class GrantIn(Schema):
    value = Text(required=True)
    role = one_of(*_ROLES, required=True)
    team = Code()
    by_team = fields.Boolean(load_default=False)

    @ma.validates_schema
    def _check_choice(self, data: Mapping[str, Any], **_: Any) -> None:
        if "team" in data and data["by_team"]:
            raise ma.ValidationError("give either team or by_team", "by_team")


class OidcIn(Schema):
    issuer = fields.String(required=True)
    client_id = Text(required=True, longest=500)
    name = Translated(Text(longest=80), required=True)
    scopes = fields.List(
        fields.String(validate=validate.Regexp(_SCOPE.pattern + r"\Z", error="is not a scope")),
        load_default=lambda: ["openid", "email", "profile"],
    )
    email_claim = Text(load_default="email")
    email_domains = fields.List(fields.String(), validate=validate.Length(min=1))
    roles_claim = Text(load_default="roles")
    teams_claim = Text()
    grants = fields.List(fields.Nested(GrantIn), load_default=list)
    allow_unmapped = fields.Boolean(load_default=False)
    acr_values = fields.List(Text())

    @ma.validates("issuer")
    def _check_issuer(self, value: str, **_: Any) -> None:
        if not is_safe_url(value) or "?" in value:
            raise ma.ValidationError("must be an https:// address without a query")

    @ma.validates("scopes")
    def _check_scopes(self, value: list[str], **_: Any) -> None:
        if "openid" not in value:
            raise ma.ValidationError("must name openid")

    @ma.validates("email_domains")
    def _check_domains(self, value: list[str], **_: Any) -> None:
        for domain in value:
            if not _DOMAIN.fullmatch(domain):
                raise ma.ValidationError(f"“{domain}” is not a domain such as ville.example")

    @ma.validates_schema
    def _check_agreement(self, data: Mapping[str, Any], **_: Any) -> None:
        by_team = any(grant["by_team"] for grant in data["grants"])
        if by_team and "teams_claim" not in data:
            raise ma.ValidationError("a grant by team needs it", "teams_claim")
        if "teams_claim" in data and not by_team:
            raise ma.ValidationError("no grant has by_team: true", "teams_claim")
        if not data["grants"] and not data["allow_unmapped"]:
            raise ma.ValidationError("without one nobody could sign in", "grants")


class SignInIn(Schema):
    second_factor = one_of("optional", "staff", load_default="optional")
    oidc = fields.Nested(OidcIn)


def check_teams(
    city: Mapping[str, Any], document: Document, teams: Collection[str], findings: Findings
) -> None:
    """Note every role at the provider that is for a team which the city does not have."""
    grants = city["policy"].get("sign_in", {}).get("oidc", {}).get("grants", ())
    for index, grant in enumerate(grants):
        if "team" in grant and grant["team"] not in teams:
            line = document.line(("policy", "sign_in", "oidc", "grants", index, "team"))
            findings.fault(document.file, line, f"there is no team “{grant['team']}”")
