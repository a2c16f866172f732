"""The offline gazetteer: the city's own address file, searched by position and by words.

Answers without a network and in a millisecond, so it is asked first. Each function is one indexed
statement in the caller's transaction: `reverse` for a whole batch of positions, `search` for one
written address. `geo.loading` fills the table; `geo.geocoding` decides what to do with an answer.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from geo.address_text import KIND_WORDS, AddressText, parse, words_of
from geo.cells import cover_disk
from geo.measures import Point, degree_lengths_m, distance_m

#: A report farther than this from every known house number has no address by position.
MAX_DISTANCE_M = 80.0

#: Less sure than this is noise: one common word of many.
MIN_CONFIDENCE = 0.35

#: What a missing house number costs: its neighbours are a little way off.
_INTERPOLATED_CONFIDENCE = 0.85
#: What a street without a number costs: it may be long.
_STREET_CONFIDENCE = 0.7
#: What naming another town or postcode costs.
_OTHER_PLACE = 0.6
#: What it costs that another street fits as well.
_AMBIGUOUS = 0.6

#: A house number farther than this from the nearest known one says only which street.
_MAX_INTERPOLATION = 20

#: How far from the known neighbour a missing number is taken to lie: a plot, and so much for each
#: number between.
_PLOT_M, _PER_NUMBER_M = 15.0, 5.0

#: Weight of a word that only says what kind of street it is, against 1 for a name.
_KIND_WEIGHT = 0.25

#: What the beginning of a word is worth against the word.
_PREFIX_VALUE = 0.7

#: Shorter beginnings than this match nothing but themselves.
_SHORTEST_PREFIX = 3

#: Streets that are looked at more closely, after the database has ordered them.
_STREETS = 12


class Precision(enum.StrEnum):
    """What the position of a match stands for."""

    ADDRESS = "address"
    INTERPOLATED = "interpolated"
    STREET = "street"


@dataclass(frozen=True, slots=True)
class AddressMatch:
    """A known address that fits a position or a written address.

    Attributes:
        id: of the row in `addresses`.
        point: the address's own position; of a street, that of its middle house.
        precision: the house itself, the nearest known number, or only the street.
        distance_m: from the position that was asked for; 0 for a written address.
        accuracy_m: how far off the position may be.
        confidence: 0 to 1; for a position, how near the address stands.
    """

    id: int
    code: str | None
    number: int | None
    suffix: str
    street: str
    postcode: str | None
    locality: str | None
    point: Point
    precision: Precision
    distance_m: float
    accuracy_m: float
    confidence: float

    @property
    def number_text(self) -> str:
        """The house number as the city's id of a house has it: `12bis`; empty for a street."""
        return "" if self.number is None else f"{self.number}{self.suffix}"

    @property
    def label(self) -> str:
        """The address on one line, without the town: `12 bis Rue de l'Aiguillerie`."""
        if self.number is None:
            return self.street
        joint = "" if len(self.suffix) <= 1 else " "
        return f"{self.number}{joint}{self.suffix} {self.street}"

    @property
    def full_label(self) -> str:
        """The address on one line with postcode and town, as far as they are known."""
        town = " ".join(part for part in (self.postcode, self.locality) if part)
        return f"{self.label}, {town}" if town else self.label


_FLOATS, _INTEGERS, _BIG, _TEXTS = (
    ARRAY(kind) for kind in (sa.Float(), sa.Integer(), sa.BigInteger(), sa.Text())
)

# A degree of longitude is measured the short way round, so the antimeridian is no edge.
_REVERSE = sa.text(
    """
    SELECT DISTINCT ON (asked.position) asked.position, found.*
    FROM unnest(:positions, :lows, :highs, :lats, :lons, :lat_lengths, :lon_lengths)
        AS asked (position, low, high, lat, lon, lat_length, lon_length)
    CROSS JOIN LATERAL (
        SELECT id, code, number, suffix, street, postcode, locality, address.lat, address.lon,
            sqrt(
                ((address.lat - asked.lat) * asked.lat_length) ^ 2
                + (least(abs(address.lon - asked.lon), 360 - abs(address.lon - asked.lon))
                    * asked.lon_length) ^ 2
            ) AS distance
        FROM addresses AS address
        WHERE address.jurisdiction_id = :jurisdiction_id
            AND address.cell BETWEEN asked.low AND asked.high
        ORDER BY distance, number NULLS LAST, suffix, id
        LIMIT 1
    ) AS found
    ORDER BY asked.position, found.distance, found.number NULLS LAST, found.suffix, found.id
    """
).bindparams(
    sa.bindparam("positions", type_=_INTEGERS),
    sa.bindparam("lows", type_=_BIG),
    sa.bindparam("highs", type_=_BIG),
    *(sa.bindparam(name, type_=_FLOATS) for name in ("lats", "lons", "lat_lengths", "lon_lengths")),
)

# 1. streets: those with one of the words, from the full-text index, with their extent.
# 2. scored: how much of what was asked each has (`matched`) and how much it has in all (`own`);
#    a number that may belong to the name counts for the name where the name has it.
# 3. for each of the best, its house with the number nearest to the one asked for, same side of
#    the street preferred, or the house nearest to the middle.
_SEARCH = sa.text(
    """
    WITH streets AS (
        SELECT street_key, locality, string_to_array(street_key, ' ') AS words,
            avg(lat) AS lat, avg(lon) AS lon,
            max(lat) - min(lat) AS tall, max(lon) - min(lon) AS wide
        FROM addresses
        WHERE jurisdiction_id = :jurisdiction_id AND search @@ to_tsquery('simple', :query)
        GROUP BY street_key, locality
    ), scored AS (
        SELECT streets.*, matched.weight AS matched, own.weight AS own,
            CASE WHEN :number_word = ANY(words) THEN NULL ELSE CAST(:number AS integer) END
                AS number
        FROM streets
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(best.value * asked.weight), 0)
                + CASE WHEN :number_word = ANY(words) THEN 1 ELSE 0 END AS weight
            FROM unnest(:words, :weights) AS asked (word, weight)
            CROSS JOIN LATERAL (
                SELECT max(
                    CASE
                        WHEN word.word = asked.word THEN 1
                        WHEN length(asked.word) >= :shortest_prefix
                            AND starts_with(word.word, asked.word) THEN :prefix_value
                        ELSE 0
                    END
                ) AS value
                FROM unnest(words) AS word (word)
            ) AS best
        ) AS matched
        CROSS JOIN LATERAL (
            SELECT sum(CASE WHEN word.word = ANY(:kinds) THEN :kind_weight ELSE 1 END) AS weight
            FROM unnest(words) AS word (word)
        ) AS own
        ORDER BY matched.weight / (:asked_weight + own.weight) DESC, street_key, locality
        LIMIT :streets
    )
    SELECT scored.words, scored.matched, scored.own, scored.number AS asked_number,
        scored.tall, scored.wide, house.*
    FROM scored
    CROSS JOIN LATERAL (
        SELECT id, code, address.number, suffix, street, postcode, address.locality,
            address.lat, address.lon
        FROM addresses AS address
        WHERE address.jurisdiction_id = :jurisdiction_id
            AND address.street_key = scored.street_key
            AND address.locality IS NOT DISTINCT FROM scored.locality
        ORDER BY
            CASE
                WHEN scored.number IS NULL THEN
                    abs(address.lat - scored.lat)
                    + abs(address.lon - scored.lon) * cos(radians(scored.lat))
                ELSE
                    coalesce(
                        abs(address.number - scored.number)
                            + CASE WHEN (address.number - scored.number) % 2 = 0 THEN 0 ELSE 3 END,
                        1000000
                    )
            END,
            suffix <> :suffix, suffix, id
        LIMIT 1
    ) AS house
    """
).bindparams(
    sa.bindparam("words", type_=_TEXTS),
    sa.bindparam("kinds", type_=_TEXTS),
    sa.bindparam("weights", type_=_FLOATS),
    sa.bindparam("number", type_=sa.Integer()),
    sa.bindparam("number_word", type_=sa.Text()),
    *(
        sa.bindparam(name, type_=sa.Float())
        for name in ("prefix_value", "kind_weight", "asked_weight")
    ),
)


def reverse(
    session: Session,
    jurisdiction_id: int,
    points: Sequence[Point],
    max_distance_m: float = MAX_DISTANCE_M,
) -> list[AddressMatch | None]:
    """The nearest known address of each position, in order; None where none is near enough."""
    found: list[AddressMatch | None] = [None] * len(points)
    columns: list[tuple[int, int, int, float, float, float, float]] = []
    for position, point in enumerate(points):
        lat_length, lon_length = degree_lengths_m(point.lat)
        columns.extend(
            (position, low, high, point.lat, point.lon, lat_length, lon_length)
            for low, high in cover_disk(point, max_distance_m)
        )
    if not columns:
        return found
    names = ("positions", "lows", "highs", "lats", "lons", "lat_lengths", "lon_lengths")
    values: dict[str, Any] = {
        name: list(column) for name, column in zip(names, zip(*columns, strict=True), strict=True)
    }
    for row in session.execute(_REVERSE, {"jurisdiction_id": jurisdiction_id, **values}):
        # The flat distance of the statement orders; this one is exact.
        away = distance_m(points[row.position], Point(row.lat, row.lon))
        if away <= max_distance_m:
            found[row.position] = _match(
                row,
                Precision.ADDRESS,
                distance_m=away,
                accuracy_m=0.0,
                confidence=1.0 - away / (2 * max_distance_m) if max_distance_m else 1.0,
            )
    return found


def search(session: Session, jurisdiction_id: int, text: str, limit: int = 5) -> list[AddressMatch]:
    """Known addresses that fit what somebody wrote, the most certain first.

    Where the exact number is unknown the nearest known one stands for it (`INTERPOLATED`, with
    its accuracy); without a number, the middle of the street does (`STREET`).
    """
    asked = parse(text)
    query = _query(asked)
    if not query:
        return []
    weights = [_weight(word) for word in asked.street_words]
    number_word = None if asked.number is None or asked.number_is_sure else str(asked.number)
    rows = session.execute(
        _SEARCH,
        {
            "jurisdiction_id": jurisdiction_id,
            "query": query,
            "words": list(asked.street_words),
            "weights": weights,
            "asked_weight": sum(weights),
            "kinds": sorted(KIND_WORDS),
            "kind_weight": _KIND_WEIGHT,
            "prefix_value": _PREFIX_VALUE,
            "shortest_prefix": _SHORTEST_PREFIX,
            "number": asked.number,
            "number_word": number_word,
            "suffix": asked.suffix,
            "streets": _STREETS,
        },
    ).all()
    scores = [_score(asked, row, number_word) for row in rows]
    matches = []
    for index, row in enumerate(rows):
        rivals = scores[:index] + scores[index + 1 :]
        is_ambiguous = any(abs(scores[index] - rival) < 0.01 for rival in rivals)
        match = _placed(asked, row, scores[index] * (_AMBIGUOUS if is_ambiguous else 1.0))
        if match.confidence >= MIN_CONFIDENCE:
            matches.append(match)
    matches.sort(key=lambda match: (-match.confidence, match.label, match.id))
    return matches[:limit]


def _query(asked: AddressText) -> str:
    """The full-text query: any name in it, by its beginning; if it has none, all of its words."""
    names = [word for word in asked.street_words if word not in KIND_WORDS]
    if asked.number is not None and not asked.number_is_sure and not names:
        names = [str(asked.number)]
    if not names:
        return " & ".join(f"'{word}'" for word in asked.street_words)
    return " | ".join(
        f"'{word}':*" if len(word) >= _SHORTEST_PREFIX else f"'{word}'" for word in names
    )


def _weight(word: str) -> float:
    return _KIND_WEIGHT if word in KIND_WORDS else 1.0


def _score(asked: AddressText, row: Any, number_word: str | None) -> float:
    """How well a street fits: 1 when each has every word of the other, less for another town."""
    town = set(words_of(row.locality or ""))
    # Words of the town behind the street, where nobody wrote a comma, are no words of the street.
    in_town = {word for word in asked.street_words if word in town and word not in row.words}
    wanted = sum(_weight(word) for word in asked.street_words if word not in in_town)
    if number_word is not None and number_word in row.words:
        wanted += 1.0
    score = 2 * float(row.matched) / (wanted + float(row.own))
    if asked.place_words and town and not town & set(asked.place_words):
        score *= _OTHER_PLACE
    if asked.postcode and row.postcode and asked.postcode != row.postcode:
        score *= _OTHER_PLACE
    return min(1.0, score)


def _placed(asked: AddressText, row: Any, score: float) -> AddressMatch:
    lat_length, lon_length = degree_lengths_m(row.lat)
    half_street_m = math.hypot(row.tall * lat_length, row.wide * lon_length) / 2
    if row.asked_number is not None and row.number is not None:
        apart = abs(row.number - row.asked_number)
        if apart == 0 and row.suffix.casefold() == asked.suffix.casefold():
            return _match(row, Precision.ADDRESS, 0.0, accuracy_m=5.0, confidence=score)
        if apart <= _MAX_INTERPOLATION:
            accuracy_m = _PLOT_M + min(half_street_m, apart * _PER_NUMBER_M)
            confidence = score * _INTERPOLATED_CONFIDENCE
            return _match(row, Precision.INTERPOLATED, 0.0, accuracy_m, confidence)
    street = _match(
        row,
        Precision.STREET,
        0.0,
        accuracy_m=max(_PLOT_M, half_street_m),
        confidence=score * _STREET_CONFIDENCE,
    )
    return replace(street, number=None, suffix="")


def _match(
    row: Any, precision: Precision, distance_m: float, accuracy_m: float, confidence: float
) -> AddressMatch:
    return AddressMatch(
        id=row.id,
        code=row.code,
        number=row.number,
        suffix=row.suffix,
        street=row.street,
        postcode=row.postcode,
        locality=row.locality,
        point=Point(row.lat, row.lon),
        precision=precision,
        distance_m=distance_m,
        accuracy_m=accuracy_m,
        confidence=round(confidence, 3),
    )
