"""After a sign-in, people stay here: what `?next=` may say."""

from __future__ import annotations

import pytest

from accounts.destinations import LONGEST, local_path


@pytest.mark.parametrize(
    "path", ["/", "/account", "/my-reports?lang=en", "/report/montpellier/12#photos", "/équipe"]
)
def test_a_page_of_ours_is_taken_as_it_is(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "account",
        "https://evil.example/",
        "javascript:alert(1)",
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "\\\\evil.example/",
        "/\t/evil.example/",
        "/\n/evil.example",
        " /account",
        "/a\r\nSet-Cookie: a=b",
        "/\x00",
        "/\ud800",
        "/" + "a" * LONGEST,
    ],
)
def test_anything_else_leads_nowhere(text: str | None) -> None:
    assert local_path(text) is None
