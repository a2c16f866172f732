"""Which judge decides in a city: its own trained model, or the one that ships.

A city's models stand in `duplicate_models`; activating one raises the version of the jurisdiction,
and with the catalogue the judge is made anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources

import sqlalchemy as sa

from core.db import Executor
from core.kept import Kept
from core.text import fold
from reports.catalogue import Catalogue
from reports.duplicates.features import Kind
from reports.duplicates.model import LearnedJudge, Model, ModelError

_kept: Kept[LearnedJudge] = Kept()


@cache
def default_model() -> Model:
    """The model that ships, for cities without a history of their own."""
    file = resources.files("reports.duplicates").joinpath("models/default.json")
    return Model.load(file.read_text(encoding="utf-8"))


def judge_for(session: Executor, catalogue: Catalogue) -> LearnedJudge:
    """The judge of a city; one statement when its catalogue is new, else none."""
    return _kept.get(catalogue.place.id, catalogue, lambda: _read(session, catalogue))


def _read(session: Executor, catalogue: Catalogue) -> LearnedJudge:
    document = session.execute(_ACTIVE, {"place": catalogue.place.id}).scalar()
    model = default_model()
    if document is not None:
        try:
            model = Model.parse(document)
        except ModelError:
            # Of an older release. `flask duplicates models` says so, and intake goes on.
            model = default_model()
    return LearnedJudge(model, kinds_of(catalogue, model))


def kinds_of(catalogue: Catalogue, model: Model) -> Mapping[int, Kind]:
    """How the model knows the services of a city: by their codes, else by their names."""
    known = model.tables.services
    kinds = {}
    for service in catalogue.services:
        keys = [fold(service.code), *(fold(name) for name in service.names.values())]
        key = next((key for key in keys if key in known), keys[0])
        kinds[service.id] = Kind(key, f"family {service.family}")
    return kinds


def own_kinds(catalogue: Catalogue) -> Mapping[int, Kind]:
    """How a model that learns from the city itself calls its services: by their codes."""
    return {
        service.id: Kind(fold(service.code), f"family {service.family}")
        for service in catalogue.services
    }


_ACTIVE = sa.text("SELECT model FROM duplicate_models WHERE jurisdiction_id = :place AND is_active")
