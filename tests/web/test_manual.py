"""The API document, and the page that shows it."""

from __future__ import annotations

import re

from flask.testing import FlaskClient

from web.manual import groups_of, marked


def test_the_page_shows_every_call_and_who_may_make_it(client: FlaskClient) -> None:
    document = client.get("/api/v1/openapi.json").get_json()
    calls = [
        (method.upper(), path)
        for path, item in document["paths"].items()
        for method in item
        if method in ("get", "post", "put", "patch", "delete")
    ]

    groups = groups_of(document, "https://ville.example")
    shown = [operation for group in groups for operation in group.operations]
    html = client.get("/docs").get_data(as_text=True)

    assert sorted((operation.method, operation.path) for operation in shown) == sorted(calls)
    assert all(operation.who for operation in shown)
    assert all(html.count(f'id="{operation.anchor}"') == 1 for operation in shown)


def test_a_body_is_shown_with_its_fields_an_example_and_a_call(client: FlaskClient) -> None:
    document = client.get("/api/v1/openapi.json").get_json()
    groups = groups_of(document, "https://ville.example")
    (submit,) = [
        operation
        for group in groups
        for operation in group.operations
        if (operation.method, operation.path) == ("POST", "/api/v1/reports")
    ]
    body = submit.bodies[0]
    fields = {field.name: field for field in body.fields}

    assert fields["service_code"].is_required
    assert "contact.email" in fields
    assert body.example is not None
    assert '"service_code"' in body.example
    assert submit.curl.startswith("curl -X POST")
    assert {answer.status for answer in submit.answers} >= {"201", "default"}


def test_descriptions_are_escaped_and_lightly_marked() -> None:
    html = marked("Say `this`, **loud**.\n\nNot <script>.")

    assert html == (
        "<p>Say <code>this</code>, <strong>loud</strong>.</p><p>Not &lt;script&gt;.</p>"
    )


def test_a_schema_that_holds_itself_ends() -> None:
    node = {
        "type": "object",
        "properties": {"child": {"$ref": "#/components/schemas/Node"}, "name": {"type": "string"}},
    }
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Node"}}}}
    document = {
        "paths": {"/n": {"post": {"requestBody": body, "responses": {}}}},
        "components": {"schemas": {"Node": node}},
    }

    ((group,), (operation,)) = (groups_of(document, ""), groups_of(document, "")[0].operations)

    assert group.name == "api"
    assert re.search(r'"name": "…"', operation.bodies[0].example or "")
