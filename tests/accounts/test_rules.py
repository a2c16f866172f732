"""The permission table, passwords, addresses and the length of sessions."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.rules import (
    PERMISSIONS,
    PasswordFault,
    Permission,
    Role,
    is_email,
    normal_email,
    password_fault,
    session_lifetime,
)


def test_every_role_stands_in_the_table() -> None:
    assert set(PERMISSIONS) == set(Role)


def test_every_permission_is_somebodys() -> None:
    assert set().union(*PERMISSIONS.values()) == set(Permission)


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        (Role.CITIZEN, Role.VIEWER),
        (Role.VIEWER, Role.AGENT),
        (Role.AGENT, Role.MANAGER),
        (Role.MANAGER, Role.ADMIN),
    ],
)
def test_each_rung_may_all_that_the_one_below_may_and_more(lower: Role, higher: Role) -> None:
    assert PERMISSIONS[lower] < PERMISSIONS[higher]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.COORDINATOR])
def test_who_only_looks_sees_no_contact_data(role: Role) -> None:
    assert Permission.READ_CONTACTS not in PERMISSIONS[role]


def test_an_auditor_reads_everything_and_changes_nothing() -> None:
    assert all(name.split(".")[1].startswith("read") for name in PERMISSIONS[Role.AUDITOR])


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ([], timedelta(days=14)),
        ([Role.CITIZEN], timedelta(days=14)),
        ([Role.VIEWER], timedelta(hours=12)),
        ([Role.CITIZEN, Role.AUDITOR], timedelta(hours=12)),
    ],
)
def test_staff_sign_in_once_a_working_day(roles: list[Role], expected: timedelta) -> None:
    assert session_lifetime(roles) == expected


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        ("correct horse battery", None),
        ("twelve chars", None),
        ("été à la mer", None),
        ("eleven char", PasswordFault.TOO_SHORT),
        ("", PasswordFault.TOO_SHORT),
        ("a" * 12, PasswordFault.TOO_SIMPLE),
        ("123412341234", PasswordFault.TOO_SIMPLE),
        ("abcdefghijkl" * 11, PasswordFault.TOO_LONG),
        ("Marie.Dupont@ville.example", PasswordFault.LIKE_THE_ADDRESS),
        ("marie.dupont", PasswordFault.LIKE_THE_ADDRESS),
    ],
)
def test_passwords_that_will_do(password: str, fault: PasswordFault | None) -> None:
    assert password_fault(password, "marie.dupont@ville.example") == fault


def test_a_letter_typed_in_two_ways_counts_once() -> None:
    decomposed = "e\u0301" * 6  # six times é, in twelve code points
    assert password_fault(decomposed, "a@b.example") == PasswordFault.TOO_SHORT


@pytest.mark.parametrize(
    "text",
    [
        "agent@ville.example",
        "a.b+tag@sous.domaine.ville.fr",
        "o'neil@xn--vlle-6qa.example",
        "hélène@mairie-évry.example",
        "x" * 64 + "@ville.example",
    ],
)
def test_addresses(text: str) -> None:
    assert is_email(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "agent",
        "agent@",
        "@ville.example",
        "agent@localhost",
        "agent@ville..example",
        "agent@-ville.example",
        "two words@ville.example",
        "a@b@ville.example",
        "agent@ville.example\nBcc: x@y.example",
        "agent@ville.example\n",
        "agent\u0000@ville.example",
        "<agent@ville.example>",
        "x" * 65 + "@ville.example",
        "x@" + "y." * 130 + "example",
    ],
)
def test_what_can_never_be_an_address(text: str) -> None:
    assert not is_email(text)


@given(st.text())
def test_the_normal_form_is_stable(text: str) -> None:
    once = normal_email(text)
    # Some letters ("İ") have a longer lower case that composes only at a second look.
    assert normal_email(normal_email(once)) == normal_email(once)


@given(st.text(max_size=300))
def test_whatever_is_typed_is_judged_and_never_an_error(text: str) -> None:
    is_email(normal_email(text))
    password_fault(text, "a@b.example")
