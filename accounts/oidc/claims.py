"""What a provider's claims say: which roles, whose address, how sure. Pure.

A claim is whatever the provider's administrator configured: a text, a list, a number, nested or
absent. Nothing here trusts a type; what is not understood is left out, never guessed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from accounts.rules import Role, is_email, normal_email

#: OpenID Connect Core 1.0, section 2: `sub` has at most 255 ASCII characters.
SUBJECT_MAX = 255

#: A name is shown in lists and letters.
NAME_MAX = 100

#: Ways to prove oneself by kind (RFC 8176): what one knows, has, or is.
_KINDS = (
    frozenset({"pwd", "pin", "kba"}),
    frozenset({"otp", "hwk", "swk", "sms", "tel", "sc", "pop", "mca"}),
    frozenset({"fpt", "face", "iris", "retina", "vbm"}),
)

_UNWANTED = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


@dataclass(frozen=True, slots=True)
class Mapped:
    """One line of a city's `grants`: who has that value in the roles claim has that role.

    Attributes:
        team: code of the one team whose work it is for; None: the whole city's.
        is_by_team: for the teams that the teams claim names, instead.
    """

    value: str
    role: Role
    team: str | None = None
    is_by_team: bool = False


@dataclass(frozen=True, slots=True)
class RoleAt:
    """A role in a team, or in the whole city."""

    role: Role
    team: str | None


def claim(claims: Mapping[str, Any], path: str) -> Any:
    """The claim of that name, else of that path: `realm_access.roles` looks into an object."""
    if path in claims:
        return claims[path]
    here: Any = claims
    for part in path.split("."):
        if not isinstance(here, Mapping):
            return None
        here = here.get(part)
    return here


def texts(value: Any) -> frozenset[str]:
    """The values of a claim that may be one or a list; numbers as they are written."""
    values = value if isinstance(value, list | tuple) else [value]
    return frozenset(
        str(each) for each in values if isinstance(each, str | int) and not isinstance(each, bool)
    )


def roles_at(
    claims: Mapping[str, Any],
    grants: Iterable[Mapped],
    *,
    roles_claim: str,
    teams_claim: str | None,
    teams: Collection[str],
) -> frozenset[RoleAt]:
    """The roles that these claims give.

    Args:
        teams: codes of the teams at work. A role for any other team is not given, least of all for
            the whole city instead.
    """
    values = texts(claim(claims, roles_claim))
    named = texts(claim(claims, teams_claim)) if teams_claim else frozenset()
    found: set[RoleAt] = set()
    for grant in grants:
        if grant.value not in values:
            continue
        if grant.is_by_team:
            found |= {RoleAt(grant.role, team) for team in named if team in teams}
        elif grant.team is None or grant.team in teams:
            found.add(RoleAt(grant.role, grant.team))
    return frozenset(found)


def claimed_email(claims: Mapping[str, Any], email_claim: str) -> str | None:
    """The address that the provider names, in its normal form; proven or not."""
    value = claim(claims, email_claim)
    if not isinstance(value, str):
        return None
    email = normal_email(value)
    return email if is_email(email) else None


def proven_email(
    claims: Mapping[str, Any], email_claim: str, *, domains: Collection[str] | None
) -> str | None:
    """The address, if the provider vouches that it is this person's.

    Args:
        domains: those whose addresses the provider speaks for. Given, they decide: an address in
            them is proven unless the provider denies it, and no other is. Not given, it takes
            `email_verified`.
    """
    email = claimed_email(claims, email_claim)
    if email is None:
        return None
    said = claims.get("email_verified")
    # Some providers write the word instead of the value.
    is_verified = said is True or said == "true"
    if domains is None:
        return email if is_verified else None
    is_theirs = email.rpartition("@")[2] in domains
    return email if is_theirs and (is_verified or said is None) else None


def full_name(claims: Mapping[str, Any]) -> str | None:
    """How the provider calls this person."""
    whole = _words(claims.get("name"))
    if whole:
        return whole
    family = _words(claims.get("family_name")) or _words(claims.get("usual_name"))
    parts = [part for part in (_words(claims.get("given_name")), family) if part]
    return " ".join(parts)[:NAME_MAX].rstrip() or None


def locale(claims: Mapping[str, Any], offered: Collection[str]) -> str | None:
    """The language they read, if it is one of ours."""
    said = claims.get("locale")
    language = re.split(r"[-_]", said)[0].lower() if isinstance(said, str) else None
    return language if language in offered else None


def has_several_factors(claims: Mapping[str, Any]) -> bool:
    """Whether the provider says that it asked for more than one kind of proof (`amr`)."""
    methods = texts(claims.get("amr"))
    return "mfa" in methods or sum(not methods.isdisjoint(kind) for kind in _KINDS) > 1


def is_subject(value: Any) -> bool:
    """Whether a `sub` is one."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= SUBJECT_MAX
        and value.isascii()
        and value.isprintable()
    )


def _words(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    # Halves of surrogate pairs can stand in JSON, and cannot be stored.
    clean = _UNWANTED.sub(" ", value).encode("utf-8", "ignore").decode()
    return " ".join(unicodedata.normalize("NFC", clean).split())[:NAME_MAX].rstrip()
