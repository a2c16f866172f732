"""The API document: valid, complete, and of the routes that the contract promises."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from openapi_spec_validator import OpenAPIV31SpecValidator

METHODS = ("get", "post", "put", "patch", "delete")

#: What the contract promises of the main job. Later features add to it.
PROMISED = [
    "GET /services",
    "GET /services/{}",
    "POST /reports",
    "GET /reports",
    "GET /reports/similar",
    "GET /reports/{}",
    "GET /reports/{}/history",
    "POST /reports/{}/additions",
    "POST /reports/{}/answer",
    "POST /reports/{}/withdrawal",
    "POST /reports/{}/not-fixed",
    "POST /reports/{}/followers",
    "DELETE /reports/{}/followers",
    "POST /reports/{}/status",
    "POST /reports/{}/assignment",
    "POST /reports/{}/comments",
    "POST /reports/{}/duplicate-of",
    "DELETE /reports/{}/duplicate-of",
    "POST /reports/{}/service",
    "POST /reports/{}/photos",
    "GET /queues",
    "GET /queues/{}/reports",
    "POST /devices",
    "POST /trips",
    "GET /trips/{}",
    "POST /sessions",
    "POST /sessions/link",
    "GET /me",
    "DELETE /sessions/current",
]


@pytest.fixture(scope="module")
def document(app: Flask) -> dict[str, Any]:
    answer = app.test_client().get("/api/v1/openapi.json")
    assert answer.status_code == 200
    assert answer.mimetype == "application/json"
    found: dict[str, Any] = answer.get_json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


@pytest.mark.parametrize("promise", PROMISED)
def test_what_the_contract_promises_is_there(document: dict[str, Any], promise: str) -> None:
    named = {re.sub(r"\{[^}]+\}", "{}", name) for name, _ in operations(document)}
    assert promise.replace(" /", " /api/v1/") in named


def test_every_operation_says_what_it_does_and_who_may_call(document: dict[str, Any]) -> None:
    tags = {tag["name"]: tag["description"] for tag in document["tags"]}
    assert all(tags.values())
    for name, operation in operations(document):
        assert len(operation["summary"]) > 10, name
        assert "**Who may call:**" in operation["description"], name
        assert set(operation["tags"]) <= set(tags), name


def test_every_operation_has_a_name_of_its_own(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(ids) == len(set(ids))


def test_every_error_is_a_problem_document(document: dict[str, Any]) -> None:
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    for name, operation in operations(document):
        responses = operation["responses"]
        assert "default" in responses, name
        for status, response in responses.items():
            if status != "default" and int(status) < 400:
                continue
            if "$ref" in response:
                part = response["$ref"].rpartition("/")[2]
                response = document["components"]["responses"][part]
            assert response["description"], (name, status)
            assert response["content"] == {"application/problem+json": problem}, (name, status)


def test_every_success_says_what_is_in_it(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        good = {
            status: response
            for status, response in operation["responses"].items()
            if status.startswith("2")
        }
        assert good, name
        for status, response in good.items():
            if status != "204":
                for content in response["content"].values():
                    assert content["schema"], (name, status)


def test_a_guarded_operation_says_what_it_answers_to_strangers(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        if operation["security"] == [{"bearer": []}]:
            assert "401" in operation["responses"], name
            if "permission" in operation["description"]:
                assert "403" in operation["responses"], name


def test_every_field_of_a_payload_has_a_kind(document: dict[str, Any]) -> None:
    # Whatever browsers put there is taken.
    free = {"expirationTime"}
    for name, schema in document["components"]["schemas"].items():
        for field, part in schema.get("properties", {}).items():
            assert (
                part.keys() & {"type", "$ref", "anyOf", "oneOf", "allOf", "enum"} or field in free
            ), (
                name,
                field,
            )


def test_filing_a_report_has_an_example_that_the_schema_takes(document: dict[str, Any]) -> None:
    from reports.intake_schemas import ReportIn

    body = document["paths"]["/api/v1/reports"]["post"]["requestBody"]["content"]
    example = body["application/json"]["example"]
    assert ReportIn().load(example).service_code == example["service_code"]
