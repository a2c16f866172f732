"""The judge that was learned: two models over one set of features, in plain arithmetic. Pure.

1. *Which one?* The candidates are ranked by a linear score; it was fitted to choose the report that
   staff named among all that lay near.
2. *Is it one at all?* A decider looks at the best candidate and at its surroundings and says how
   likely it is that staff would call the report a duplicate. There are three: for services that the
   model's history knows (the mean of a logistic model and of boosted trees, in log odds, heard
   together with the next), for those that it does not, and for sources that know the day and not
   the hour (both logistic).

What no city's history teaches has declared weights (`Said`): likeness of texts and of photos, the
same asset. Where they lack they change nothing.

A model is a JSON document (`Model.parse`), made by `reports.duplicates.training`, stored with the
record of its training. For services of known history nearer never scores lower and sooner never
scores lower among candidates that are otherwise equal: training bounds the signs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from math import exp
from typing import Any

from reports.duplicates.features import (
    ALIKE_BITS,
    CASE,
    PAIR,
    Compared,
    Kind,
    Pair,
    PairRow,
    ServiceRow,
    Tables,
    bits_apart,
    compare,
    leeway_m,
    likeness_of_texts,
)
from reports.duplicates.rules import (
    SHOWN,
    Candidate,
    Decision,
    Features,
    Outcome,
    Ranked,
    Reason,
    Scope,
    Search,
    Verdicts,
    as_named,
    named_candidate,
)

#: The version of the document that this code reads and writes.
FORMAT = 1

#: Those that a decider may look at: of the best candidate, of the ranking, of the surroundings.
TOP = ("top", "gap")
DECIDING = (*PAIR, *TOP, *CASE)

#: The score of a rank that nobody holds.
NOBODY = -9.0

#: Closed ones may be meant for so long: staff name them, and people report again what was closed.
CLOSED_FOR = timedelta(days=14)

#: Of a service seen less often than this, history knows nothing.
KNOWN_CASES = 30

#: Two texts about different things are about so much alike, by the letters and words of any text.
_NEUTRAL = 0.55
#: From here on it is said that they are.
_ALIKE = 0.7

#: Candidates so far behind the best one, in the ranking's log odds, are not judged one by one.
_FAR_BEHIND = 4.0

#: A wave is worth a reason from so many reports on.
_WAVE = 10

Tree = float | list[Any]


class ModelError(ValueError):
    """This document is no model. The message names the place and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Said:
    """Declared log odds for what the histories at hand lack: words, photos, assets.

    Attributes:
        text_alike, text_other: of long texts that are wholly alike, or not at all.
        photo_alike: of photos that are the same, falling to nothing at `ALIKE_BITS`.
        same_asset, other_asset: both reports name one asset, or two different ones.
    """

    text_alike: float = 1.5
    text_other: float = -0.75
    photo_alike: float = 2.5
    same_asset: float = 2.0
    other_asset: float = -2.0


@dataclass(frozen=True, slots=True)
class Decider:
    """How likely it is a duplicate at all; `features` are names of `DECIDING`.

    A tree is a number, or `[feature, threshold, tree if ≤, tree if >]`. `trees` may be empty.
    """

    features: tuple[str, ...]
    intercept: float
    weights: tuple[float, ...]
    base: float
    trees: tuple[Tree, ...]
    suggest_at: float
    join_at: float
    places: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        places = tuple(DECIDING.index(name) for name in self.features)
        object.__setattr__(self, "places", places)

    def log_odds(self, values: Sequence[float]) -> float:
        """Of values in the order of `DECIDING`."""
        row = [values[place] for place in self.places]
        linear = self.intercept
        for weight, value in zip(self.weights, row, strict=True):
            linear += weight * value
        if not self.trees:
            return linear
        grown = self.base
        for tree in self.trees:
            node = tree
            while isinstance(node, list):
                node = node[2] if row[node[0]] <= node[1] else node[3]
            grown += node
        return (linear + grown) / 2


@dataclass(frozen=True, slots=True)
class Model:
    """Everything that was learned, and the record of how.

    `trust`, from 0 to 1, is how far `known` is believed beside `unknown`.
    """

    version: str
    tables: Tables
    ranking: tuple[float, ...]
    known: Decider
    unknown: Decider
    days: Decider
    trust: float
    said: Said
    record: Mapping[str, Any]

    def decider(self, report: Features, kind: Kind | None) -> Decider:
        """The one for that report."""
        if not report.has_time:
            return self.days
        row = None if kind is None else self.tables.services.get(kind.key)
        return self.known if row is not None and row.cases >= KNOWN_CASES else self.unknown

    def log_odds(self, decider: Decider, values: Sequence[float]) -> float:
        """That a report is a duplicate, by one of the deciders.

        What history says of a known service is met half-way by what holds for any: habits of
        labelling drift, and after a storm a service behaves as it never did before.
        """
        odds = decider.log_odds(values)
        if decider is self.known:
            return self.trust * odds + (1 - self.trust) * self.unknown.log_odds(values)
        return odds

    @classmethod
    def parse(cls, document: object) -> Model:
        """The model of a JSON document.

        Raises:
            ModelError: it is none.
        """
        whole = _object(document, "the model")
        if whole.get("format") != FORMAT:
            raise ModelError(f"format is {whole.get('format')!r}; this release reads {FORMAT}")
        tables = _object(whole.get("tables"), "tables")
        ranking = _object(whole.get("ranking"), "ranking")
        unknown = [name for name in ranking if name not in PAIR]
        if unknown:
            raise ModelError(f"ranking: there is no feature {unknown[0]!r}")
        deciders = _object(whole.get("deciders"), "deciders")
        version = whole.get("version")
        if not isinstance(version, str) or not version:
            raise ModelError("version is missing")
        return cls(
            version=version,
            tables=_tables(tables),
            ranking=tuple(_number(ranking.get(name, 0.0), f"ranking.{name}") for name in PAIR),
            known=_decider(deciders, "known"),
            unknown=_decider(deciders, "unknown"),
            days=_decider(deciders, "days"),
            trust=_share(deciders.get("trust"), "deciders.trust"),
            said=_said(whole.get("said")),
            record=_object(whole.get("record"), "record"),
        )

    @classmethod
    def load(cls, text: str) -> Model:
        """The model of a file's text.

        Raises:
            ModelError: it is none.
        """
        try:
            document = json.loads(text)
        except ValueError as error:
            raise ModelError(f"it is no JSON: {error}") from None
        return cls.parse(document)

    def as_text(self) -> str:
        """As a file, one part a line, so that two versions can be compared."""
        parts = [f"{json.dumps(key)}: {json.dumps(part)}" for key, part in self.as_data().items()]
        return "{\n" + ",\n".join(parts) + "\n}\n"

    def as_data(self) -> dict[str, Any]:
        """As it is stored; `parse` reads it back."""
        tables = self.tables
        return {
            "format": FORMAT,
            "version": self.version,
            "record": dict(self.record),
            "said": asdict(self.said),
            "ranking": dict(zip(PAIR, self.ranking, strict=True)),
            "tables": {
                "default": _row_data(tables.default),
                "same_pair": tables.same_pair,
                "group_pair": tables.group_pair,
                "other_pair": tables.other_pair,
                "other_source": tables.other_source,
                "services": {key: _row_data(row) for key, row in tables.services.items()},
                "pairs": {
                    key: {other: [row.odds, row.seen] for other, row in rows.items()}
                    for key, rows in tables.pairs.items()
                },
                "sources": dict(tables.sources),
            },
            "deciders": {
                name: _decider_data(decider)
                for name, decider in (
                    ("known", self.known),
                    ("unknown", self.unknown),
                    ("days", self.days),
                )
            }
            | {"trust": self.trust},
        }


class LearnedJudge:
    """Ranks and decides by a model. `kinds` says how the model knows the services of a city."""

    def __init__(self, model: Model, kinds: Mapping[int, Kind] | None = None) -> None:
        self.model = model
        self.kinds: Mapping[int, Kind] = kinds or {}
        self.name = f"learned/{model.version}"

    def confused(self, service_id: int) -> tuple[int, ...]:
        """The services whose reports people take for those of that one, most often seen first."""
        kind = self.kinds.get(service_id)
        if kind is None:
            return ()
        keys = self.model.tables.confused(kind.key)
        return tuple(
            id_
            for key in keys
            for id_, other in self.kinds.items()
            if other.key == key and id_ != service_id
        )

    def search(self, report: Features) -> Search:
        """The family and the services it is confused with, within the service's radius and days.

        Reports that came in up to as long after it are found too, because the pipeline does not
        keep their order.
        """
        scope = report.scope
        days = timedelta(days=scope.days)
        return Search(
            service_ids=tuple(dict.fromkeys((*scope.service_ids, *scope.pairs))),
            radius_m=scope.radius_m,
            since=report.requested_at - days,
            until=report.requested_at + days,
            closed_since=report.requested_at - min(days, CLOSED_FOR),
        )

    def reach_m(self, scope: Scope) -> float:
        """The service's radius: what inaccurate positions add, who searches adds."""
        return scope.radius_m

    def rank(self, report: Features, candidates: Sequence[Candidate]) -> list[Ranked]:
        """Those within reach, the one that staff would name first; scores never rise."""
        return self._rank(report, candidates)

    def decide(
        self, report: Features, candidates: Sequence[Candidate], verdicts: Verdicts
    ) -> Decision:
        """By the score of the best candidate; a person's word goes first."""
        # Staff may have said both of one pair at different times of a family of reports; who
        # keeps apart errs on the safe side.
        allowed = [item for item in candidates if item.id not in verdicts.not_same]
        ranked = tuple(self._rank(report, allowed))
        meant = named_candidate(report, allowed, verdicts)
        if meant is not None:
            return as_named(report, meant, ranked)
        if not ranked:
            return Decision(Outcome.APART)
        best = ranked[0]
        outcome = self._outcome(report, best)
        if outcome is Outcome.APART:
            return Decision(outcome, None, best.score, best.reasons, ranked)
        return Decision(outcome, best.candidate.id, best.score, best.reasons, ranked)

    def _outcome(self, report: Features, best: Ranked) -> Outcome:
        decider = self.model.decider(report, self.kinds.get(report.service_id))
        scope = report.scope
        join_at = decider.join_at if scope.join_at is None else scope.join_at
        suggest_at = decider.suggest_at if scope.suggest_at is None else scope.suggest_at
        # Nobody would work on what is joined to a closed report: a person decides.
        if best.score >= join_at and best.candidate.closed_at is None:
            return Outcome.JOINED
        return Outcome.SUGGESTED if best.score >= suggest_at else Outcome.APART

    def _rank(self, report: Features, candidates: Sequence[Candidate]) -> list[Ranked]:
        search = self.search(report)
        services = set(search.service_ids)
        found = [
            item
            for item in candidates
            if item.service_id in services
            and search.since <= item.requested_at <= search.until
            and (
                item.closed_at is None
                or (search.closed_since is not None and item.closed_at > search.closed_since)
            )
        ]
        compared = compare(report, found, self.kinds, self.model.tables, search.radius_m)
        scored = sorted(
            ((self._place(pair) + self._said(report, pair), pair) for pair in compared.pairs),
            key=_first_named,
        )
        return self._judged(report, compared, scored)

    def _place(self, pair: Pair) -> float:
        score = 0.0
        for weight, value in zip(self.model.ranking, pair.values, strict=True):
            score += weight * value
        return score

    def _said(self, report: Features, pair: Pair) -> float:
        """Log odds of what history does not teach."""
        said, candidate, odds = self.model.said, pair.candidate, 0.0
        if pair.is_same_asset:
            odds += said.same_asset
        elif report.asset_id is not None and candidate.asset_id is not None:
            odds += said.other_asset
        likeness = likeness_of_texts(report.text, candidate.text)
        if likeness is not None:
            alike, weight = likeness
            if alike >= _NEUTRAL:
                odds += weight * said.text_alike * (alike - _NEUTRAL) / (1 - _NEUTRAL)
            else:
                odds += weight * said.text_other * (_NEUTRAL - alike) / _NEUTRAL
        bits = bits_apart(report.photo_hashes, candidate.photo_hashes)
        if bits is not None and bits <= ALIKE_BITS:
            odds += said.photo_alike * (1 - bits / (ALIKE_BITS + 1))
        return odds

    def _judged(
        self, report: Features, compared: Compared, scored: Sequence[tuple[float, Pair]]
    ) -> list[Ranked]:
        """Each with its likelihood, never above that of the one before it.

        Beyond those that are shown, and far behind, likelihoods follow from the ranking alone.
        """
        decider = self.model.decider(report, self.kinds.get(report.service_id))
        ranked: list[Ranked] = []
        last, before = 1.0, 0.0
        for index, (place, pair) in enumerate(scored):
            if index < SHOWN and scored[0][0] - place < _FAR_BEHIND:
                rival = scored[0 if index else 1][0] if len(scored) > 1 else NOBODY
                values = [*pair.values, place, place - rival, *compared.case]
                odds = self.model.log_odds(decider, values) + self._said(report, pair)
                score = min(last, 1 / (1 + exp(-max(-30.0, min(30.0, odds)))))
            else:
                score = last * exp(min(0.0, max(-30.0, place - before)))
            last, before = score, place
            reasons = self._reasons(report, pair) if index < 2 * SHOWN else ()
            ranked.append(Ranked(pair.candidate, round(score, 4), reasons))
        return ranked

    def _reasons(self, report: Features, pair: Pair) -> tuple[Reason, ...]:
        candidate, reasons = pair.candidate, []
        if pair.is_same_asset:
            reasons.append(Reason("same_asset"))
        if candidate.service_id == report.service_id:
            reasons.append(Reason("same_service"))
        elif candidate.service_id in report.scope.service_ids:
            reasons.append(Reason("same_family"))
        else:
            reasons.append(Reason("confused_service"))
        if pair.is_same_place:
            reasons.append(Reason("same_address"))
        if report.point is not None and candidate.point is not None:
            reasons.append(Reason("distance", {"m": round(pair.metres, 1)}))
            leeway = leeway_m(report.accuracy_m, candidate.accuracy_m)
            if leeway >= 1 and pair.metres >= 1:
                reasons.append(Reason("inaccurate", {"m": round(leeway)}))
        apart = abs((report.requested_at - candidate.requested_at).total_seconds())
        if report.has_time:
            reasons.append(Reason("elapsed", {"minutes": round(apart / 60)}))
        else:
            reasons.append(Reason("elapsed_days", {"days": round(apart / 86400)}))
        if candidate.closed_at is not None:
            past = (report.requested_at - candidate.closed_at).total_seconds() / 86400
            reasons.append(Reason("closed", {"days": max(0, round(past))}))
        likeness = likeness_of_texts(report.text, candidate.text)
        if likeness is not None and likeness[0] >= _ALIKE:
            reasons.append(Reason("alike_words", {"percent": round(100 * likeness[0])}))
        bits = bits_apart(report.photo_hashes, candidate.photo_hashes)
        if bits is not None and bits <= ALIKE_BITS:
            reasons.append(Reason("alike_photo", {"bits": bits}))
        if candidate.joined:
            reasons.append(Reason("joined", {"count": candidate.joined}))
        if report.wave >= _WAVE:
            reasons.append(Reason("wave", {"count": report.wave}))
        return tuple(reasons)


def _first_named(scored: tuple[float, Pair]) -> tuple[float, datetime, str]:
    place, pair = scored
    return (-place, pair.candidate.requested_at, str(pair.candidate.id))


def with_thresholds(decider: Decider, *, suggest_at: float, join_at: float) -> Decider:
    """The same decider with other thresholds."""
    return replace(decider, suggest_at=suggest_at, join_at=join_at)


def _row_data(row: ServiceRow) -> list[float]:
    return [row.cases, row.same, row.distance, row.elapsed]


def _decider_data(decider: Decider) -> dict[str, Any]:
    return {
        "features": list(decider.features),
        "intercept": decider.intercept,
        "weights": list(decider.weights),
        "base": decider.base,
        "trees": list(decider.trees),
        "suggest_at": decider.suggest_at,
        "join_at": decider.join_at,
    }


def _object(value: object, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ModelError(f"{place} is {_kind_of(value)}, not an object")
    return value


def _array(value: object, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise ModelError(f"{place} is {_kind_of(value)}, not a list")
    return value


def _number(value: object, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e9 < value < 1e9:
        raise ModelError(f"{place} is no number: {value!r}"[:120])
    return float(value)


def _share(value: object, place: str) -> float:
    share = _number(value, place)
    if not 0 <= share <= 1:
        raise ModelError(f"{place} is not between 0 and 1: {share}")
    return share


def _kind_of(value: object) -> str:
    return "missing" if value is None else f"a {type(value).__name__}"


def _row(value: object, place: str) -> ServiceRow:
    numbers = _array(value, place)
    if len(numbers) != 4:
        raise ModelError(f"{place} has {len(numbers)} numbers, not 4")
    cases, same, distance, elapsed = (_number(each, place) for each in numbers)
    return ServiceRow(int(cases), same, distance, elapsed)


def _tables(data: Mapping[str, Any]) -> Tables:
    pairs: dict[str, dict[str, PairRow]] = {}
    for key, rows in _object(data.get("pairs"), "tables.pairs").items():
        place = f"tables.pairs.{key}"
        pairs[key] = {}
        for other, numbers in _object(rows, place).items():
            both = _array(numbers, place)
            if len(both) != 2:
                raise ModelError(f"{place}.{other} has {len(both)} numbers, not 2")
            pairs[key][other] = PairRow(_number(both[0], place), int(_number(both[1], place)))
    names = ("same_pair", "group_pair", "other_pair", "other_source")
    return Tables(
        default=_row(data.get("default"), "tables.default"),
        **{name: _number(data.get(name), f"tables.{name}") for name in names},
        services={
            key: _row(row, f"tables.services.{key}")
            for key, row in _object(data.get("services"), "tables.services").items()
        },
        pairs=pairs,
        sources={
            key: _number(odds, f"tables.sources.{key}")
            for key, odds in _object(data.get("sources"), "tables.sources").items()
        },
    )


def _said(value: object) -> Said:
    data = _object(value, "said")
    names = set(Said.__dataclass_fields__)
    if set(data) != names:
        wrong = min(set(data) ^ names)
        raise ModelError(f"said.{wrong} is {'missing' if wrong in names else 'not known'}")
    return Said(**{name: _number(each, f"said.{name}") for name, each in data.items()})


def _decider(deciders: Mapping[str, Any], name: str) -> Decider:
    place = f"deciders.{name}"
    data = _object(deciders.get(name), place)
    features = _array(data.get("features"), f"{place}.features")
    for each in features:
        if each not in DECIDING:
            raise ModelError(f"{place}.features: there is no feature {each!r}")
    weights = [_number(each, f"{place}.weights") for each in _array(data.get("weights"), place)]
    if len(weights) != len(features):
        raise ModelError(f"{place} has {len(features)} features and {len(weights)} weights")
    trees = _array(data.get("trees"), f"{place}.trees")
    for index, tree in enumerate(trees):
        _check_tree(tree, len(features), f"{place}.trees[{index}]")
    suggest_at = _number(data.get("suggest_at"), f"{place}.suggest_at")
    join_at = _number(data.get("join_at"), f"{place}.join_at")
    if not 0 <= suggest_at <= join_at:
        raise ModelError(f"{place}: suggest_at {suggest_at} is not between 0 and join_at {join_at}")
    return Decider(
        features=tuple(features),
        intercept=_number(data.get("intercept"), f"{place}.intercept"),
        weights=tuple(weights),
        base=_number(data.get("base"), f"{place}.base"),
        trees=tuple(trees),
        suggest_at=suggest_at,
        join_at=join_at,
    )


def _check_tree(tree: object, features: int, place: str) -> None:
    open_ = [tree]
    while open_:
        node = open_.pop()
        if not isinstance(node, list):
            _number(node, place)
            continue
        if len(node) != 4 or isinstance(node[0], bool) or not isinstance(node[0], int):
            raise ModelError(f"{place}: a branch is [feature, threshold, tree, tree]")
        if not 0 <= node[0] < features:
            raise ModelError(f"{place}: there is no feature number {node[0]}")
        _number(node[1], place)
        open_ += node[2:]
