"""The catalogue as Open311 shows it: the list of services, and the questions of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.i18n import pick
from geo.jurisdictions import JurisdictionRef
from open311.formats import words
from reports.attributes import AttributeDefinition, Datatype
from reports.catalogue import Catalogue, ServiceEntry


def offered(catalogue: Catalogue) -> list[ServiceEntry]:
    """What can be asked for over Open311: not what must be called."""
    return [service for service in catalogue.offered() if service.emergency is None]


def service_list(catalogue: Catalogue, locale: str) -> list[dict[str, Any]]:
    """The items of `services`."""
    return [_service(service, catalogue.place, locale) for service in offered(catalogue)]


def definition(service: ServiceEntry, place: JurisdictionRef, locale: str) -> dict[str, Any]:
    """A `service_definition`. Places in its order are counted from 1, each taken once."""
    return {
        "service_code": service.code,
        "attributes": [
            _attribute(each, order, place, locale)
            for order, each in enumerate(service.attributes, start=1)
        ],
    }


def name_of(service: ServiceEntry, place: JurisdictionRef, locale: str) -> str:
    """The `service_name`."""
    return pick(service.names, locale, place.default_locale) or service.code


def _service(service: ServiceEntry, place: JurisdictionRef, locale: str) -> dict[str, Any]:
    return {
        "service_code": service.code,
        "service_name": name_of(service, place, locale),
        "description": words(pick(service.descriptions, locale, place.default_locale)),
        "metadata": bool(service.attributes),
        "type": service.kind.value,
        "keywords": words(", ".join(_keywords(service.keywords, locale, place.default_locale))),
        "group": words(pick(service.group_names, locale, place.default_locale)),
    }


def _keywords(keywords: Mapping[str, Sequence[str]], locale: str, default: str) -> Sequence[str]:
    """Of the reader's language, else of the city's."""
    return keywords.get(locale) or keywords.get(default) or ()


def _attribute(
    attribute: AttributeDefinition, order: int, place: JurisdictionRef, locale: str
) -> dict[str, Any]:
    def say(texts: Mapping[str, str]) -> str:
        return pick(texts, locale, place.default_locale)

    return {
        "variable": attribute.is_variable,
        "code": attribute.code,
        "datatype": attribute.datatype.value,
        "required": attribute.is_required and attribute.is_variable,
        "datatype_description": words(say(_DESCRIPTIONS[attribute.datatype])),
        "order": order,
        "description": words(say(attribute.descriptions)),
        "values": [
            {"key": choice.key, "name": say(choice.names) or choice.key}
            for choice in attribute.values
        ],
    }


#: How each kind of answer is given, for the form that a client draws.
_DESCRIPTIONS: Mapping[Datatype, Mapping[str, str]] = {
    Datatype.STRING: {"fr": "Une ligne de texte", "en": "One line of text"},
    Datatype.TEXT: {
        "fr": "Texte libre, sur plusieurs lignes si besoin",
        "en": "Free text, over several lines if need be",
    },
    Datatype.NUMBER: {"fr": "Un nombre", "en": "A number"},
    Datatype.DATETIME: {
        "fr": "Date et heure, comme 2026-03-29T14:05:00+02:00",
        "en": "Date and time, such as 2026-03-29T14:05:00+02:00",
    },
    Datatype.SINGLE: {"fr": "Un choix de la liste", "en": "One choice of the list"},
    Datatype.MULTIPLE: {
        "fr": "Un ou plusieurs choix de la liste",
        "en": "One or several choices of the list",
    },
}
