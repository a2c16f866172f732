"""Every operation of the API document, called with what fits it and with what does not.

schemathesis makes the calls from the document; each is answered as the document says, and never
with a fault of ours. A few examples of each, the same in every run; FUZZ_EXAMPLES=100 makes more,
other ones each time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import hypothesis
import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, Verbosity
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.house.city import HERE, City, settle

#: Examples of each operation and kind.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "4"))

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]

AnyCase = Case[Any]

#: With credentials, more often those who may do more; and without any.
CALLERS = (["manager", "admin", "browser", "key", "auditor", "citizen"], ["nobody"])

#: What only our own files and libraries would say.
INSIDE = re.compile(
    r"Traceback|File \"/|sqlalchemy|psycopg|werkzeug|site-packages|SELECT |INSERT INTO|UPDATE ",
    re.IGNORECASE,
)


def tells_nothing_of_the_inside(_context: object, response: Any, _case: AnyCase) -> None:
    """No trace of a stack, no statement, no name of a file in what a stranger is told."""
    # An export is a ZIP: no text, and searched all the same.
    found = INSIDE.search(response.content.decode("utf-8", "replace"))
    assert found is None, f"The answer tells {found.group()!r}"


#: Called by nobody here: it would end the sessions that all other calls are made with.
SIGN_OUT = "DELETE /api/v1/sessions/current"


@pytest.fixture
def city(committed_db: Flask) -> City:
    return settle(committed_db)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.name.lower())
@pytest.mark.timeout(600)
# schemathesis reads an answer that is streamed from a file, and does not close it as servers do.
@pytest.mark.filterwarnings("ignore:Unclosed file <tempfile:ResourceWarning")
def test_every_operation_answers_as_the_document_says(
    committed_db: Flask, city: City, mode: GenerationMode
) -> None:
    document = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", committed_db)
    faults: dict[str, str] = {}
    for found in document.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        try:
            strategy = operation.as_strategy(generation_mode=mode)
            for callers in CALLERS:
                call_often(strategy, city, callers)
        except hypothesis.errors.Unsatisfiable:
            # Nothing can be wrong with a call that takes nothing.
            continue
        except BaseExceptionGroup as group:
            faults[operation.label] = "\n".join(str(error) for error in group.exceptions)
        except Exception as error:  # noqa: BLE001 (all operations are tried before the test fails)
            faults[operation.label] = f"{type(error).__name__}: {error}"
    assert not faults, "\n\n".join(f"{name}\n{fault}" for name, fault in faults.items())


def call_often(strategy: st.SearchStrategy[AnyCase], city: City, callers: Sequence[str]) -> None:
    """Call one operation with examples of its own, by several callers."""

    @hypothesis.given(case=strategy, data=st.data())
    @hypothesis.settings(
        max_examples=EXAMPLES if len(callers) > 1 else max(1, EXAMPLES // 2),
        derandomize="FUZZ_EXAMPLES" not in os.environ,
        database=None,
        deadline=None,
        verbosity=Verbosity.quiet,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def call(case: AnyCase, data: st.DataObject) -> None:
        # Few headers of chance: a wrong one would only be refused, over and over.
        if data.draw(st.sampled_from([True, True, True, False])):
            case.headers = CaseInsensitiveDict()
        make_real(case, city, data)
        caller = data.draw(st.sampled_from(callers))
        if case.operation.label != SIGN_OUT:
            case.headers.update(city.callers[caller])
        for name in [name for name, text in case.headers.items() if not is_sendable(text)]:
            del case.headers[name]
        case.call_and_validate(checks=CHECKS, additional_checks=[tells_nothing_of_the_inside])

    call()


def make_real(case: AnyCase, city: City, data: st.DataObject) -> None:
    """Let a call name what is there, most of the time: else little more is tried than 404."""
    if not data.draw(st.sampled_from([True, True, True, False])):
        return
    path = case.path_parameters or {}
    report: UUID = data.draw(st.sampled_from(sorted(city.reports)))
    if "report_id" in path:
        path["report_id"] = str(report)
        if data.draw(st.booleans()):
            case.headers["X-Tracking-Token"] = city.reports[report]
    if "team" in path:
        path["team"] = data.draw(st.sampled_from(city.teams))
    if "code" in path:
        path["code"] = data.draw(st.sampled_from(city.services))
    if "follower_id" in path:
        path["follower_id"] = str(data.draw(st.sampled_from(city.followers)))
    for holder in (case.query, case.body):
        if isinstance(holder, dict):
            for name, value in real_values(city, data):
                if name in holder:
                    holder[name] = value


def real_values(city: City, data: st.DataObject) -> Iterator[tuple[str, Any]]:
    yield "service_code", data.draw(st.sampled_from(city.services))
    yield "jurisdiction", city.jurisdiction
    yield "lat", HERE.lat
    yield "lon", HERE.lon
    yield "report", str(data.draw(st.sampled_from(sorted(city.reports))))
    yield "team", data.draw(st.sampled_from(city.teams))


def is_sendable(value: Any) -> bool:
    """Whether a server can receive it as a header at all."""
    try:
        text = str(value).encode("latin-1")
    except UnicodeEncodeError:
        return False
    return not set(text) & {0, 10, 13}
