"""After a sign-in, people stay here: what `?next=` may say."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        "////evil.example/",
        "\\/evil.example/",
        "/\u00a0/evil.example/",
        "http:/account",
        "?next=/account",
        "@evil.example",
        "//[bad",
        "/" + "a" * LONGEST,
    ],
)
def test_anything_else_leads_nowhere(text: str | None) -> None:
    assert local_path(text) is None


@given(st.text(alphabet="/\\.?#@:%[]ae \t\n\r\x00\u2028", max_size=12))
def test_whatever_is_taken_stays_on_this_site(text: str) -> None:
    taken = local_path(text)
    if taken is not None:
        joined = urlsplit(urljoin("https://here.example/sign-in", taken))
        assert (joined.scheme, joined.netloc) == ("https", "here.example")
