"""Links derived from a key: one purpose, one row, one version each."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.tokens import Purpose, code_for, matches, token_for

ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def test_a_token_is_short_safe_in_a_url_and_always_the_same() -> None:
    token = token_for("secret", Purpose.TRACK, ID, 1)
    assert len(token) == 22
    assert token.replace("-", "").replace("_", "").isalnum()
    assert token == token_for("secret", "track", str(ID), "1")
    assert matches("secret", Purpose.TRACK, ID, 1, token)


@pytest.mark.parametrize(
    ("secret", "purpose", "row", "version"),
    [
        ("other", Purpose.TRACK, ID, 1),
        ("secret", Purpose.LEAVE, ID, 1),
        ("secret", Purpose.TRACK, UUID(int=7), 1),
        ("secret", Purpose.TRACK, ID, 2),
    ],
)
def test_it_opens_nothing_else(secret: str, purpose: Purpose, row: UUID, version: int) -> None:
    token = token_for("secret", Purpose.TRACK, ID, 1)
    assert not matches(secret, purpose, row, version, token)


@given(st.text() | st.none())
def test_whatever_a_stranger_sends_is_refused_and_never_an_error(token: str | None) -> None:
    assert not matches("secret", Purpose.TRACK, ID, 1, token)


@given(st.text(), st.text(), st.text(), st.text())
def test_fields_cannot_run_into_one_another(a: str, b: str, c: str, d: str) -> None:
    if (a, b) != (c, d):
        assert token_for("k", a, b, "") != token_for("k", c, d, "")


def test_a_code_is_six_digits_and_belongs_to_its_row() -> None:
    codes = {code_for("secret", Purpose.SIGN_IN, UUID(int=n), 1) for n in range(50)}
    assert all(len(code) == 6 and code.isdigit() for code in codes)
    assert len(codes) > 45
