"""What another system is told of a report: parameters of the standard, and nobody's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from geo.measures import Point
from open311.client import seconds
from open311.downstream import ServiceMap
from open311.translating import read_moment
from reports.attributes import AttributeDefinition, Datatype


def parameters(
    service: ServiceMap,
    *,
    description: str,
    point: Point | None,
    address: str | None,
    answers: Mapping[str, Any],
    questions: Sequence[AttributeDefinition],
    photo: str | None,
) -> tuple[tuple[str, str], ...]:
    """A report in parameters of the standard, and in no other.

    No name, address or number of the reporter: whoever reported hears from us.
    """
    fields = [("service_code", service.code)]
    if point is not None:
        fields += [("lat", f"{point.lat:.7f}"), ("long", f"{point.lon:.7f}")]
    if address:
        fields.append(("address_string", address))
    if description:
        fields.append(("description", description))
    if photo:
        fields.append(("media_url", photo))
    for question in questions:
        code = question.code
        if service.attributes is not None:
            if code not in service.attributes:
                continue
            code = service.attributes[code]
        if question.code not in answers:
            continue
        given = answers[question.code]
        renamed = service.values.get(question.code, {})
        if question.datatype is Datatype.MULTIPLE:
            chosen = given if isinstance(given, list) else [given]
            fields += [(f"attribute[{code}][]", renamed.get(str(v), str(v))) for v in chosen]
        else:
            fields.append((f"attribute[{code}]", _answer(question, given, renamed)))
    fields += [(f"attribute[{code}]", value) for code, value in service.fixed.items()]
    return tuple(fields)


def _answer(question: AttributeDefinition, given: Any, renamed: Mapping[str, str]) -> str:
    if question.datatype is Datatype.DATETIME:
        try:
            return seconds(read_moment(str(given)))
        except ValueError:
            return str(given)
    if isinstance(given, float) and given.is_integer():
        given = int(given)
    return renamed.get(str(given), str(given))
