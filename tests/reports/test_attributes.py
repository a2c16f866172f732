"""Answers against a service's questions: a table of cases."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.attributes import check, definitions_of

QUESTIONS = definitions_of(
    [
        {
            "code": "danger",
            "datatype": "singlevaluelist",
            "required": True,
            "values": [{"key": "oui", "names": {}}, {"key": "non", "names": {}}],
        },
        {
            "code": "objets",
            "datatype": "multivaluelist",
            "values": [{"key": "meuble", "names": {}}, {"key": "gravats", "names": {}}],
        },
        {"code": "largeur_cm", "datatype": "number"},
        {"code": "vu_le", "datatype": "datetime"},
        {"code": "plaque", "datatype": "string"},
        {"code": "details", "datatype": "text"},
    ]
)


@pytest.mark.parametrize(
    ("code", "answer", "stored"),
    [
        ("danger", "oui", "oui"),
        ("danger", ["non"], "non"),
        ("objets", ["meuble", "gravats", "meuble"], ["meuble", "gravats"]),
        ("objets", "meuble", ["meuble"]),
        ("largeur_cm", "12.5", 12.5),
        ("largeur_cm", 40, 40),
        ("vu_le", "2026-03-29T14:05:00+02:00", "2026-03-29T14:05:00+02:00"),
        ("vu_le", "2026-03-29", "2026-03-29T00:00:00"),
        ("plaque", "AB-123-CD", "AB-123-CD"),
        ("details", "une\nligne", "une\nligne"),
    ],
)
def test_an_answer_that_fits_is_stored_in_one_form(code: str, answer: Any, stored: Any) -> None:
    checked = check(QUESTIONS, {"danger": "non", code: answer})
    assert checked.errors == {}
    assert checked.values[code] == stored


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("danger", "peut-être"),
        ("danger", ["oui", "non"]),
        ("danger", {"oui": True}),
        ("objets", ["meuble", "arbre"]),
        ("objets", [["meuble"]]),
        ("largeur_cm", "large"),
        ("largeur_cm", True),
        ("largeur_cm", "NaN"),
        ("largeur_cm", 1e300),
        ("largeur_cm", 10**400),
        ("vu_le", "hier"),
        ("vu_le", 20260329),
        ("plaque", "x" * 501),
        ("plaque", "a\0b"),
        ("details", "\ud800"),
        ("details", {"a": 1}),
        ("couleur", "bleu"),
    ],
)
def test_an_answer_that_does_not_fit_is_named_by_its_code(code: str, answer: Any) -> None:
    checked = check(QUESTIONS, {"danger": "non", code: answer})
    assert list(checked.errors) == [code]


@pytest.mark.parametrize("answer", [None, "", "  ", []])
def test_an_empty_answer_to_a_required_question_is_a_missing_one(answer: Any) -> None:
    assert "danger" in check(QUESTIONS, {"danger": answer}).errors
    assert "danger" in check(QUESTIONS, {}).errors


@given(
    st.dictionaries(
        st.sampled_from([question.code for question in QUESTIONS] + ["autre"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
    )
)
def test_any_answer_is_either_stored_or_explained(answers: dict[str, Any]) -> None:
    checked = check(QUESTIONS, answers)
    assert not set(checked.values) & set(checked.errors)
    assert checked.errors.keys() <= {*answers, "danger"}
