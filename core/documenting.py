"""What the API document says of every operation alike: its problems and its name.

The document itself is generated from the schemas and views; see `core.api`.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import apispec
import marshmallow as ma
from marshmallow import fields
from werkzeug.routing import Rule

#: Media type of an error (RFC 9457, section 3).
PROBLEM_JSON = "application/problem+json"

INTRODUCTION = """\
Errors are problem documents (RFC 9457) with a stable `code`; where fields are at fault, `errors`
names them. Lists are `{items, next}`: send `next` back as `cursor` for the next page. Times are
RFC 3339, in UTC. `bbox` is west,south,east,north in degrees. Writes accept an `Idempotency-Key`.
Resources of the staff carry an `ETag`; a write with a stale `If-Match` is refused with 412.
"""


class Problem(ma.Schema):
    """An error (RFC 9457). Some carry further members."""

    class Meta:
        unknown = ma.INCLUDE

    type = fields.String(
        required=True, metadata={"example": "urn:riverain:problem:invalid", "format": "uri"}
    )
    title = fields.String(
        required=True, metadata={"description": "The kind of error.", "example": "Not valid"}
    )
    status = fields.Integer(required=True, metadata={"example": 422})
    detail = fields.String(
        required=True,
        metadata={
            "description": "What is wrong in this case.",
            "example": "Some fields are not as they should be; see errors.",
        },
    )
    code = fields.String(
        required=True,
        metadata={"description": "Stable name of the kind of error.", "example": "invalid"},
    )
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={
            "description": "What is wrong with which field, by its name.",
            "example": {"lat": ["A latitude lies between -90 and 90 degrees."]},
        },
    )


def register_problems(spec: apispec.APISpec) -> None:
    """Declare a response for every status of an error, and one for all others."""
    named = [(status.name, status.phrase) for status in HTTPStatus if status >= 400]
    for name, phrase in [*named, ("DEFAULT_ERROR", "Any other error")]:
        spec.components.response(
            name, {"description": phrase, "content": {PROBLEM_JSON: {"schema": Problem}}}, lazy=True
        )
    spec.components.response(
        HTTPStatus.NOT_MODIFIED.name, {"description": HTTPStatus.NOT_MODIFIED.phrase}, lazy=True
    )


class SaidOfEveryOperation(apispec.BasePlugin):
    """Gives each operation its id, and each of its errors the body that errors have."""

    def operation_helper(
        self,
        path: str | None = None,  # noqa: ARG002 (the name is apispec's)
        operations: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Complete the operations of one route."""
        rule: Rule | None = kwargs.get("rule")
        for operation in (operations or {}).values():
            if rule is not None:
                operation.setdefault("operationId", rule.endpoint.rpartition(".")[2])
            for status, response in operation.get("responses", {}).items():
                is_error = str(status).isdigit() and int(status) >= 400
                if is_error and isinstance(response, dict) and "$ref" not in response:
                    # The schema by name: apispec has resolved the schemas of this operation.
                    response.setdefault(
                        "content",
                        {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                    )
