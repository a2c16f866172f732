"""Which services a text may mean: up to three with their confidence, or none when nothing is sure.

For intake it proposes, for the staff it hints; nothing is decided and nothing is stored here, and
the text goes nowhere else. The model in force is the city's own, else one made of its catalogue;
both are kept in memory and made again when the city's version moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from core.db import Executor
from core.kept import Kept
from reports.catalogue import Catalogue, ServiceEntry
from reports.models import WordModelVersion
from reports.words import prior
from reports.words.examples import Example, of_catalogue
from reports.words.model import Counted, Guess, WordModel

#: So many are proposed at most, none below the second figure, and nothing at all unless the first
#: has the third: with it one in two first proposals of the New York texts is right.
MOST, FAINTEST, SUREST_AT_LEAST = 3, 0.05, 0.35

#: Nothing is proposed when fewer of the words are known: then it is mostly chance.
FEWEST_KNOWN = 0.2

#: The staff are told only of what is clear: one service all but sure, the given one all but out.
CLEAR, OUT, FEWEST_WORDS = 0.9, 0.03, 4


@dataclass(frozen=True, slots=True)
class Proposal:
    """A service that a text may mean, and how likely that is, 0 to 1."""

    service: ServiceEntry
    confidence: float


_kept: Kept[WordModel | None] = Kept()


def propose(session: Executor, catalogue: Catalogue, text: str) -> list[Proposal]:
    """The likeliest services of a text; none when nothing is sure. What is offered no more is not
    proposed."""
    model = model_of(session, catalogue)
    if model is None or model.share_known(text) < FEWEST_KNOWN:
        return []
    found = [
        Proposal(service, round(guess.confidence, 3))
        for guess in model.ranked(text)
        if (service := _offered(catalogue, guess)) is not None
    ][:MOST]
    if not found or found[0].confidence < SUREST_AT_LEAST:
        return []
    return [each for each in found if each.confidence >= FAINTEST]


def hint(
    session: Executor, catalogue: Catalogue, text: str, service: ServiceEntry
) -> Proposal | None:
    """Another service that the words clearly mean than the one it was filed as, for the staff."""
    if len(text.split()) < FEWEST_WORDS:
        return None
    found = propose(session, catalogue, text)
    if not found or found[0].confidence < CLEAR or found[0].service.id == service.id:
        return None
    model = model_of(session, catalogue)
    assert model is not None
    given = {guess.label: guess.confidence for guess in model.ranked(text)}
    return found[0] if service.code in given and given[service.code] <= OUT else None


def explain(session: Executor, catalogue: Catalogue, text: str, code: str) -> list[Counted]:
    """Which words speak for a service and which against it, the weightiest first."""
    model = model_of(session, catalogue)
    if model is None or code not in model.labels:
        return []
    return model.explain(text, code)


def model_of(session: Executor, catalogue: Catalogue) -> WordModel | None:
    """The model in force in a city; None where its catalogue has no word."""
    place = catalogue.place
    return _kept.get(place.id, place, lambda: _read(session, catalogue))


def catalogue_texts(catalogue: Catalogue) -> list[Example]:
    """What the catalogue says of the services that it offers."""
    return [
        text
        for service in catalogue.offered()
        for text in of_catalogue(
            service.code, service.names, service.descriptions, service.keywords
        )
    ]


def forget() -> None:
    """Drop what is kept in memory; for tests, whose database goes back in time."""
    _kept.forget()


def _read(session: Executor, catalogue: Catalogue) -> WordModel | None:
    columns = WordModelVersion.__table__.c
    stored = session.execute(
        sa.select(columns.model, columns.record).where(
            columns.jurisdiction_id == catalogue.place.id, columns.is_active
        )
    ).first()
    if stored is not None:
        try:
            return WordModel.from_data(stored.model, stored.record)
        except ValueError:
            # Trained by another version of this program: the catalogue serves until it is trained
            # anew.
            pass
    texts = catalogue_texts(catalogue)
    return prior.of_texts(texts) if texts else None


def _offered(catalogue: Catalogue, guess: Guess) -> ServiceEntry | None:
    service = catalogue.by_code.get(guess.label)
    return service if service is not None and service.is_active else None
