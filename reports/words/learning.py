"""Training a city's own model of words, and putting it in force. For commands: needs scikit-learn.

The catalogue's words are always among those learnt from. The model is judged on texts left out,
beside the catalogue alone, and put in force only if it does better: what a city has few cases of,
its catalogue knows best.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from geo.loading import touch
from reports.catalogue import Catalogue
from reports.models import ServiceRequest, WordModelVersion
from reports.vocabulary import Status, Visibility
from reports.words import evaluation, prior, training
from reports.words.examples import Example, sift
from reports.words.model import WordModel
from reports.words.proposing import catalogue_texts
from reports.words.scoring import Score

#: The newest texts that are learnt from: what people meant long ago was perhaps filed otherwise.
MOST_TEXTS = 50_000

#: Which service a report was filed as says little when the city declined it.
_SAYS_LITTLE = (Status.REJECTED.value, Status.DUPLICATE.value)


class TooFewTextsError(ValueError):
    """There is too little to learn from; the catalogue goes on serving."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A model, how it does on texts left out, and how the catalogue alone does on all of them."""

    model: WordModel
    own: Score
    catalogue_alone: Score

    @property
    def is_better(self) -> bool:
        """Whether it is worth putting in force."""
        return self.own.log_loss < self.catalogue_alone.log_loss


def texts_of(session: Session, catalogue: Catalogue) -> list[Example]:
    """What people wrote in a city, and the service that it turned out to be, oldest first."""
    table = ServiceRequest
    rows = session.execute(
        sa.select(table.description, table.service_id, table.requested_at)
        .where(
            table.jurisdiction_id == catalogue.place.id,
            table.description != "",
            table.visibility == Visibility.PUBLIC.value,
            table.status.not_in(_SAYS_LITTLE),
        )
        .order_by(table.requested_at.desc(), table.id)
        .limit(MOST_TEXTS)
    ).all()
    return [
        Example(row.description, catalogue.by_id[row.service_id].code, row.requested_at)
        for row in reversed(rows)
        if row.service_id in catalogue.by_id
    ]


def train(catalogue: Catalogue, texts: Sequence[Example], *, now: datetime) -> Trained:
    """Learn from texts labelled by codes of services; what is not in the catalogue is left out.

    Raises:
        ValueError: there is too little to learn from; usually a `TooFewTextsError`.
    """
    codes = {service.code for service in catalogue.offered()}
    sifted = sift([text for text in texts if text.label in codes])
    if len(sifted.real) < training.FEWEST_TEXTS:
        raise TooFewTextsError(
            f"{len(sifted.real)} texts of known services are too few to learn from; at least"
            f" {training.FEWEST_TEXTS} are needed. The catalogue alone goes on serving."
        )
    said = catalogue_texts(catalogue)
    own = evaluation.repeated_folds(
        sifted.real,
        # A fold has a fifth less than the whole, which has enough.
        lambda learnt, unseen: evaluation.guess_all(training.fit(learnt, said, fewest=0), unseen),
        repeats=1,
    )
    alone = prior.of_texts(said) if said else None
    without = evaluation.repeated_folds(
        sifted.real,
        (lambda _, unseen: evaluation.guess_all(alone, unseen))
        if alone is not None
        else evaluation.by_majority,
        repeats=1,
    )
    dates = [text.at for text in sifted.real if text.at is not None]
    record: dict[str, Any] = {
        "source": "cases",
        **sifted.counted(),
        "labels": dict(Counter(text.label for text in sifted.real).most_common()),
        "from": min(dates).isoformat() if dates else None,
        "to": max(dates).isoformat() if dates else None,
        "trained_at": now.isoformat(),
        "left_out": _figures(own),
        "catalogue_alone": _figures(without),
    }
    model = training.fit(sifted.real, said, placeholders=sifted.placeholders, record=record)
    return Trained(model, own, without)


def put_in_force(session: Session, catalogue: Catalogue, model: WordModel, *, now: datetime) -> int:
    """Store a model as the city's newest and use it from now on, everywhere; its version."""
    place = catalogue.place
    table = WordModelVersion
    session.execute(
        sa.update(table)
        .where(table.jurisdiction_id == place.id, table.is_active)
        .values(is_active=False)
    )
    version = (
        session.scalars(
            sa.select(sa.func.coalesce(sa.func.max(table.version), 0)).where(
                table.jurisdiction_id == place.id
            )
        ).one()
        + 1
    )
    session.add(
        WordModelVersion(
            jurisdiction_id=place.id,
            version=version,
            model=model.to_data(),
            record=dict(model.record),
            trained_at=now,
            is_active=True,
        )
    )
    session.flush()
    touch(session, place.id)
    return version


def _figures(judged: Score) -> dict[str, Any]:
    low, high = judged.first.interval
    return {
        "first": round(judged.first.value, 4),
        "first_interval": [round(low, 4), round(high, 4)],
        "among_three": round(judged.among_three.value, 4),
        "log_loss": round(judged.log_loss, 4),
        "calibration_error": round(judged.calibration_error, 4),
    }
