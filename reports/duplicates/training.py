"""Learns a model from past reports of which staff said whether they were duplicates.

Uses NumPy, SciPy and scikit-learn, which no web or worker process loads: imported by the commands
that train, alone. What comes out (`reports.duplicates.model.Model`) is plain numbers.

1. The past is replayed in the order of time (`reports.duplicates.stock`): each report with the
   candidates that its judge would have seen.
2. Tables of services, of pairs of services and of sources are counted, shrunk to the whole where
   little was seen. For the rows that the models learn from, the tables are counted on the other
   blocks of time, so that the models learn how far a table that was counted at another time can be
   trusted: habits of labelling drift from month to month.
3. The ranking is a conditional logit: of all candidates, the one that staff named. Signs that
   common sense fixes (nearer, sooner) are bounded.
4. The decider for known services is the mean of a logistic model and of boosted trees, bounded
   likewise. Those for unknown services and for dates are logistic, over the few plain facts that
   hold for any kind of problem: no table, no count; the one for dates sees the same past with its
   hours cut off.
5. Staff are asked as often as a simple rule would ask: rates of labelling double and halve from
   one month to the next, the number of reports at one point does not. From where reports are
   joined is chosen on the last part of the time, by models that learned from what came before it
   and had been closed by then; the models are then fitted to all.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from reports.duplicates.features import (
    PAIR,
    Compared,
    Kind,
    Pair,
    PairRow,
    ServiceRow,
    Tables,
    compare,
)
from reports.duplicates.model import (
    DECIDING,
    NOBODY,
    Decider,
    LearnedJudge,
    Model,
    Said,
    Tree,
    with_thresholds,
)
from reports.duplicates.rules import Candidate
from reports.duplicates.stock import Past, Stock, as_candidate

Floats = npt.NDArray[np.float64]

#: The past is cut into so many blocks of equal time, for the tables that a block learns with.
BLOCKS = 6

#: The last part of the time, on which thresholds are chosen.
LAST_PART = 0.25

#: How far what history says of a service is believed beside what holds for any, less where few
#: duplicates taught it: a storm turns the habits of a service over. Chosen on three of the four
#: months at hand and judged on the fourth, whichever was left out: docs/accuracy.md.
MOST_TRUST = 0.8
FULL_TRUST_FROM = 900

#: Fewer duplicates than this teach nothing.
FEWEST_DUPLICATES = 30
FEWEST_NAMED = 20

#: The simple rule that says how often staff are asked: one of the same service is open at the very
#: point since so long at most.
RULE_DAYS = 7

#: Nothing less likely is joined without asking, however well the last part went.
JOIN_LEAST = 0.6
#: Joined without asking where so many of those that were as likely were called duplicates.
JOIN_PRECISION = 0.85
#: … and at least so many of them were seen.
JOIN_SEEN = 20
#: Above every likelihood: nothing is joined without asking.
NEVER = 2.0

#: So many cases of the whole are added to those of a service, pair or source: little seen says
#: little.
_SHRINK = {"same": 20.0, "usual": 8.0, "pair": 5.0, "source": 20.0}

_LEAST, _MOST = 1e-4, 0.98

#: Which way a feature may only pull.
_SIGNS = {
    "distance": -1,
    "distance_scaled": -1,
    "point": 1,
    "place": 1,
    "elapsed": -1,
    "elapsed_scaled": -1,
    "closed": -1,
    "closed_days": -1,
    "nearer": -1,
    "pair": 1,
    "same": 1,
    "source": 1,
    "top": 1,
    "since_point": -1,
    "since_near": -1,
    "since_place": -1,
    "since": -1,
}

#: What the ranking looks at: within one report the scaled ones say the same as the plain.
_RANKING = tuple(name for name in PAIR if name not in {"distance_scaled", "elapsed_scaled"})

#: What means the same for any service of any city. Counts do not: they follow how busy it is.
_PLAIN = (
    "distance",
    "point",
    "place",
    "elapsed",
    "closed",
    "same_service",
    "since_point",
    "since_near",
    "since_place",
    "since",
)


class TooLittleError(ValueError):
    """The past holds too few labelled reports to learn from. The message says of which."""


@dataclass(slots=True)
class _Row:
    """A past report with its candidates, and the facts that tables are counted from."""

    past: Past
    kind: Kind
    candidates: list[Candidate]
    repeats: bool
    near: frozenset[str]
    named: tuple[str, float, float] | None
    block: int = 0


@dataclass(frozen=True, slots=True)
class _Learned:
    tables: Tables
    ranking: tuple[float, ...]
    deciders: Mapping[str, Decider]
    trust: float


@dataclass(frozen=True, slots=True)
class Regime:
    """For which reports a decider is.

    Attributes:
        features: what it may look at.
        has_tables: whether that is filled from tables, and trees are grown over it.
        has_time: whether hours are known.
        asks: how many reports are shown to staff for each that the simple rule would show.
    """

    name: str
    features: tuple[str, ...]
    has_tables: bool
    has_time: bool
    asks: float


#: In this order: the second is asked beside the first.
REGIMES = (
    Regime("unknown", _PLAIN, has_tables=False, has_time=True, asks=1.0),
    Regime("known", DECIDING, has_tables=True, has_time=True, asks=0.9),
    Regime("days", _PLAIN, has_tables=False, has_time=False, asks=1.0),
)


@dataclass(frozen=True, slots=True)
class Course:
    """How training goes on; for a command to show."""

    say: Callable[[str], None] = field(default=lambda _: None)


def train(
    pasts: Sequence[Past],
    kinds: Mapping[int, Kind],
    *,
    version: str,
    record: Mapping[str, Any],
    course: Course | None = None,
) -> Model:
    """A model of this past, in the order of time; `record` is kept with it and completed.

    Raises:
        TooLittleError: too few duplicates, or too few whose parents were named.
    """
    say = (course or Course()).say
    pasts = sorted(pasts, key=lambda past: past.report.requested_at)
    dated = not all(past.report.has_time for past in pasts)
    rows = _rows(pasts, kinds)
    rows_of_days = rows if dated else _rows([_without_hours(past) for past in pasts], kinds)
    labelled = [index for index, row in enumerate(rows) if row.past.closed_at is not None]
    duplicates = sum(rows[index].past.is_duplicate for index in labelled)
    if duplicates < FEWEST_DUPLICATES:
        raise TooLittleError(
            f"{duplicates} closed reports were called duplicates; {FEWEST_DUPLICATES} are needed"
        )
    named = sum(rows[index].named is not None for index in labelled)
    if named < FEWEST_NAMED:
        raise TooLittleError(
            f"of {named} duplicates the parent is known and near; {FEWEST_NAMED} are needed"
        )
    say(f"{len(labelled)} labelled reports, {duplicates} duplicates, {named} with a parent")

    first, last = pasts[0].report.requested_at, pasts[-1].report.requested_at
    cut = last - (last - first) * LAST_PART
    early = [
        index
        for index in labelled
        if rows[index].past.report.requested_at < cut and (rows[index].past.closed_at or last) < cut
    ]
    late = [index for index in labelled if rows[index].past.report.requested_at >= cut]
    join_at = dict.fromkeys((regime.name for regime in REGIMES), NEVER)
    scores: dict[str, Any] = {}
    try:
        before = _learn([rows[i] for i in early], [rows_of_days[i] for i in early], kinds)
    except TooLittleError:
        before = None
    for regime in REGIMES:
        if before is None:
            continue
        there = rows if regime.has_time else rows_of_days
        likely = _likelihoods(before, regime, [there[index] for index in late], kinds)
        truth = np.array([rows[index].past.is_duplicate for index in late], float)
        suggest_at = before.deciders[regime.name].suggest_at
        join_at[regime.name], scores[regime.name] = _judged(likely, truth, suggest_at)
        say(f"{regime.name}: {scores[regime.name]}")
    learned = _learn(
        [rows[index] for index in labelled],
        [rows_of_days[index] for index in labelled],
        kinds,
    )
    deciders = {
        name: with_thresholds(
            decider,
            suggest_at=decider.suggest_at,
            join_at=max(join_at[name], decider.suggest_at),
        )
        for name, decider in learned.deciders.items()
    }
    return Model(
        version=version,
        tables=learned.tables,
        ranking=learned.ranking,
        known=deciders["known"],
        unknown=deciders["unknown"],
        days=deciders["days"],
        trust=learned.trust,
        said=Said(),
        record={
            **record,
            "reports": len(rows),
            "labelled": len(labelled),
            "duplicates": duplicates,
            "with_parent": named,
            "from": first.isoformat(),
            "until": last.isoformat(),
            "thresholds_from": cut.isoformat(),
            "scores_on_last_part": scores,
        },
    )


def _without_hours(past: Past) -> Past:
    """The same past as a source that knows the day only would tell it."""
    at = past.report.requested_at
    return replace(
        past,
        report=replace(past.report, requested_at=_day(at), has_time=False),
        closed_at=past.closed_at and _day(past.closed_at),
    )


def _day(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def _rows(pasts: Sequence[Past], kinds: Mapping[int, Kind]) -> list[_Row]:
    """Each with the candidates that were known at its moment."""
    lat = next((past.report.point.lat for past in pasts if past.report.point), 0.0)
    stock = Stock(lat)
    by_id = {past.report.id: past for past in pasts}
    first, last = pasts[0].report.requested_at, pasts[-1].report.requested_at
    span = max(last - first, timedelta(seconds=1))
    judge = LearnedJudge(_NOTHING, kinds)
    rows = []
    for past in pasts:
        report = replace(
            past.report, wave=stock.wave(past.report.service_id, past.report.requested_at)
        )
        near = stock.near(report, judge.search(report)) if report.point is not None else []
        row = _row(replace(past, report=report), near, by_id, kinds)
        row.block = min(BLOCKS - 1, int((report.requested_at - first) / span * BLOCKS))
        rows.append(row)
        stock.add(as_candidate(report, past.closed_at), has_time=report.has_time)
    return [row for row in rows if row.past.report.point is not None]


def _row(
    past: Past, near: list[Candidate], by_id: Mapping[UUID, Past], kinds: Mapping[int, Kind]
) -> _Row:
    report = past.report
    compared = compare(report, near, kinds, _NO_TABLES, report.scope.radius_m)
    repeats, seen = False, set()
    for pair in compared.pairs:
        if pair.candidate.closed_at is not None or pair.metres > 50 or pair.hours > 720:
            continue
        seen.add(kinds[pair.candidate.service_id].key)
        if (
            pair.candidate.service_id == report.service_id
            and pair.metres <= 5
            and pair.hours <= 336
        ):
            repeats = True
    named = None
    parent = None if past.parent_id is None else by_id.get(past.parent_id)
    if past.is_duplicate and parent is not None:
        for pair in compared.pairs:
            if pair.candidate.id == past.parent_id:
                key = kinds[parent.report.service_id].key
                named = (key, math.log1p(pair.metres), math.log1p(pair.hours))
    kind = kinds[report.service_id]
    return _Row(past, kind, near, repeats, frozenset(seen), named)


def _log_odds(share: float) -> float:
    share = min(_MOST, max(_LEAST, share))
    return math.log(share / (1 - share))


def _count(rows: Sequence[_Row], groups: Mapping[str, str]) -> Tables:
    """The tables of these rows."""
    cases: Counter[str] = Counter()
    repeats: Counter[str] = Counter()
    same: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    flagged: Counter[str] = Counter()
    exposed: Counter[tuple[str, str]] = Counter()
    named: Counter[tuple[str, str]] = Counter()
    usual: dict[str, list[tuple[float, float]]] = defaultdict(list)
    duplicates = 0
    for row in rows:
        key = row.kind.key
        is_duplicate = row.past.is_duplicate
        cases[key] += 1
        duplicates += is_duplicate
        sources[row.past.report.source] += 1
        flagged[row.past.report.source] += is_duplicate
        if row.repeats:
            repeats[key] += 1
            same[key] += is_duplicate
        for other in row.near:
            exposed[key, other] += 1
        if row.named is not None:
            named[key, row.named[0]] += 1
            usual[key].append(row.named[1:])
    total = sum(repeats.values())
    same_share = sum(same.values()) / total if total else 0.3
    every = [each for values in usual.values() for each in values]
    mean = tuple(np.mean(every, axis=0)) if every else (math.log1p(5), math.log1p(24))
    share = duplicates / max(1, len(rows))
    shares: dict[str, float] = {}

    def relation(one: str, other: str) -> str:
        if one == other:
            return "same"
        return "group" if groups.get(one) and groups[one] == groups.get(other) else "other"

    for name in ("same", "group", "other"):
        of = sum(count for pair, count in exposed.items() if relation(*pair) == name)
        shares[name] = sum(n for pair, n in named.items() if relation(*pair) == name) / max(20, of)

    def shrunk(hits: float, seen: float, whole: float, by: float) -> float:
        return _log_odds((hits + by * whole) / (seen + by))

    services = {}
    for key, count in cases.items():
        sums = np.sum(usual[key], axis=0) if usual[key] else np.zeros(2)
        by = _SHRINK["usual"]
        distance, elapsed = (sums + by * np.array(mean)) / (len(usual[key]) + by)
        services[key] = ServiceRow(
            count,
            round(shrunk(same[key], repeats[key], same_share, _SHRINK["same"]), 4),
            round(float(distance), 4),
            round(float(elapsed), 4),
        )
    pairs: dict[str, dict[str, PairRow]] = defaultdict(dict)
    for pair in sorted({*exposed, *named}):
        a, b = pair
        kind = relation(a, b)
        hits, seen = named[pair], max(exposed[pair], named[pair])
        odds = shrunk(hits, seen, shares[kind], _SHRINK["pair"])
        if hits or named[b, a] or kind != "other":
            pairs[a][b] = PairRow(round(odds, 4), hits)
    return Tables(
        default=ServiceRow(
            0, round(_log_odds(same_share), 4), *(round(float(each), 4) for each in mean)
        ),
        same_pair=round(_log_odds(shares["same"]), 4),
        group_pair=round(_log_odds(shares["group"]), 4),
        other_pair=round(_log_odds(shares["other"]), 4),
        other_source=round(_log_odds(share), 4),
        services=services,
        pairs=dict(pairs),
        sources={
            source: round(shrunk(flagged[source], count, share, _SHRINK["source"]), 4)
            for source, count in sources.items()
        },
    )


def _bare(tables: Tables) -> Tables:
    """The same without what is known of any service or source."""
    return replace(tables, services={}, pairs={}, sources={})


def _learn(
    rows: Sequence[_Row], rows_of_days: Sequence[_Row], kinds: Mapping[int, Kind]
) -> _Learned:
    if sum(row.named is not None for row in rows) < FEWEST_NAMED // 2 or len(rows) < 100:
        raise TooLittleError("too few")
    groups = {kind.key: kind.group for kind in kinds.values()}
    tables = _count(rows, groups)
    elsewhere = {
        block: _count([row for row in rows if row.block != block] or rows, groups)
        for block in {row.block for row in rows}
    }
    compared = [_compared(row, kinds, elsewhere[row.block]) for row in rows]
    ranking = _fit_ranking(rows, compared)
    duplicates = sum(row.past.is_duplicate for row in rows)
    trust = round(MOST_TRUST * min(1.0, duplicates / FULL_TRUST_FROM), 3)
    deciders: dict[str, Decider] = {}
    bare = _bare(tables)
    for regime in REGIMES:
        of = rows if regime.has_time else rows_of_days
        if regime.has_tables:
            seen = compared
        else:
            seen = [_compared(row, kinds, bare) for row in of]
        having = [index for index, each in enumerate(seen) if each.pairs]
        values = np.array([_deciding(seen[index], ranking) for index in having])
        truth = np.array([of[index].past.is_duplicate for index in having], float)
        decider = _fit_decider(values, truth, regime.features, has_trees=regime.has_tables)
        odds = np.array([decider.log_odds(each) for each in values])
        if regime.name == "known":
            plain = np.array([deciders["unknown"].log_odds(each) for each in values])
            odds = trust * odds + (1 - trust) * plain
        deciders[regime.name] = with_thresholds(
            decider, suggest_at=_asking(odds, values, truth, regime.asks), join_at=NEVER
        )
    return _Learned(tables, ranking, deciders, trust)


def _asking(odds: Floats, values: Floats, truth: Floats, asks: float) -> float:
    """The likelihood from which on as many are shown to staff as the simple rule would show.

    At least as many as they called duplicates: where no two positions are ever the same the rule
    finds nothing.
    """
    since = values[:, DECIDING.index("since_point")]
    by_rule = int((since <= math.log1p(24 * RULE_DAYS)).sum())
    count = max(round(asks * by_rule), int(truth.sum()), 1)
    ordered = np.sort(odds)[::-1]
    return round(float(1 / (1 + np.exp(-ordered[min(count, len(ordered)) - 1]))), 4)


def _compared(row: _Row, kinds: Mapping[int, Kind], tables: Tables) -> Compared:
    report = row.past.report
    return compare(report, row.candidates, kinds, tables, report.scope.radius_m)


def _deciding(compared: Compared, ranking: Sequence[float]) -> list[float]:
    """The values of `DECIDING` of the best candidate."""

    def place(pair: Pair) -> float:
        return sum(w * v for w, v in zip(ranking, pair.values, strict=True))

    scored = sorted(
        ((place(pair), pair) for pair in compared.pairs),
        key=lambda each: (-each[0], each[1].candidate.requested_at),
    )
    best = scored[0][0]
    rival = scored[1][0] if len(scored) > 1 else NOBODY
    return [*scored[0][1].values, best, best - rival, *compared.case]


def _likelihoods(
    learned: _Learned, regime: Regime, rows: Sequence[_Row], kinds: Mapping[int, Kind]
) -> Floats:
    tables = learned.tables if regime.has_tables else _bare(learned.tables)
    decider = learned.deciders[regime.name]
    found = []
    for row in rows:
        compared = _compared(row, kinds, tables)
        if not compared.pairs:
            found.append(0.0)
            continue
        values = _deciding(compared, learned.ranking)
        odds = decider.log_odds(values)
        if regime.name == "known":
            # As `Model.log_odds` has it.
            trust = learned.trust
            odds = trust * odds + (1 - trust) * learned.deciders["unknown"].log_odds(values)
        found.append(1 / (1 + math.exp(-odds)))
    return np.array(found)


def _fit_ranking(rows: Sequence[_Row], compared: Sequence[Compared]) -> tuple[float, ...]:
    """Weights of `PAIR` by a conditional logit over the candidates of each report."""
    columns = [PAIR.index(name) for name in _RANKING]
    values, chosen, starts = [], [], [0]
    for row, each in zip(rows, compared, strict=True):
        if row.named is None or len(each.pairs) < 2:
            continue
        at = [i for i, p in enumerate(each.pairs) if p.candidate.id == row.past.parent_id]
        if not at:
            continue
        chosen.append(starts[-1] + at[0])
        values += [[pair.values[column] for column in columns] for pair in each.pairs]
        starts.append(starts[-1] + len(each.pairs))
    if not chosen:
        raise TooLittleError("no report has its parent among several candidates")
    x = np.array(values)
    spread = x.std(axis=0)
    spread[spread == 0] = 1.0
    x = x / spread
    begins = np.array(starts[:-1])
    groups = np.repeat(np.arange(len(begins)), np.diff(starts))

    def loss(w: Floats) -> tuple[float, Floats]:
        score = x @ w
        score -= np.maximum.reduceat(score, begins)[groups]
        grown = np.exp(score)
        total = np.add.reduceat(grown, begins)
        share = grown / total[groups]
        value = float(np.log(total).sum() - score[chosen].sum()) + float(w @ w)
        slope = x.T @ share - x[chosen].sum(axis=0) + 2 * w
        return value, slope

    found = minimize(
        loss, np.zeros(len(columns)), jac=True, method="L-BFGS-B", bounds=_bounds(_RANKING)
    )
    weights = dict(zip(_RANKING, found.x / spread, strict=True))
    return tuple(round(float(weights.get(name, 0.0)), 5) for name in PAIR)


def _bounds(names: Sequence[str]) -> list[tuple[float | None, float | None]]:
    limits: dict[int, tuple[float | None, float | None]] = {
        -1: (None, 0.0),
        0: (None, None),
        1: (0.0, None),
    }
    return [limits[_SIGNS.get(name, 0)] for name in names]


def _fit_decider(
    values: Floats, truth: Floats, names: Sequence[str], *, has_trees: bool
) -> Decider:
    """A logistic model and perhaps boosted trees over these; thresholds are set later."""
    x = values[:, [DECIDING.index(name) for name in names]]
    middle, spread = x.mean(axis=0), x.std(axis=0)
    spread[spread == 0] = 1.0
    z = (x - middle) / spread
    strength = 0.05

    def loss(w: Floats) -> tuple[float, Floats]:
        odds = z @ w[:-1] + w[-1]
        value = float(np.logaddexp(0, odds).sum() - truth @ odds)
        off = 1 / (1 + np.exp(-np.clip(odds, -500, 500))) - truth
        slope = np.append(strength * (z.T @ off) + w[:-1], strength * off.sum())
        return strength * value + 0.5 * float(w[:-1] @ w[:-1]), slope

    found = minimize(
        loss,
        np.zeros(len(names) + 1),
        jac=True,
        method="L-BFGS-B",
        bounds=[*_bounds(names), (None, None)],
    )
    weights = found.x[:-1] / spread
    intercept = float(found.x[-1] - weights @ middle)
    base, trees = _grow(x, truth, names) if has_trees else (0.0, ())
    return Decider(
        features=tuple(names),
        intercept=round(intercept, 5),
        weights=tuple(round(float(each), 5) for each in weights),
        base=round(base, 5),
        trees=trees,
        suggest_at=0.5,
        join_at=NEVER,
    )


def _grow(x: Floats, truth: Floats, names: Sequence[str]) -> tuple[float, tuple[Tree, ...]]:
    booster = HistGradientBoostingClassifier(
        max_iter=80,
        learning_rate=0.06,
        max_leaf_nodes=4,
        min_samples_leaf=min(60, max(5, len(truth) // 20)),
        l2_regularization=5.0,
        monotonic_cst=[_SIGNS.get(name, 0) for name in names],
        early_stopping=False,
        random_state=1,
    )
    # One thread: the rows are few, and threads that wait for one another on a busy machine take
    # many times as long.
    with threadpool_limits(1):
        booster.fit(x, truth)
    # Its trees have no public form. tests/reports/duplicates/test_replaying.py holds that these
    # give what `decision_function` gives.
    trees = tuple(_tree(each[0].nodes, 0) for each in booster._predictors)
    return float(np.ravel(booster._baseline_prediction)[0]), trees


def _tree(nodes: Any, at: int) -> Tree:
    node = nodes[at]
    if node["is_leaf"]:
        return round(float(node["value"]), 5)
    return [
        int(node["feature_idx"]),
        # Not rounded: values often lie on a threshold exactly.
        float(node["num_threshold"]),
        _tree(nodes, int(node["left"])),
        _tree(nodes, int(node["right"])),
    ]


def _judged(likely: Floats, truth: Floats, suggest_at: float) -> tuple[float, dict[str, Any]]:
    """From where to join (by precision), and what that and asking from `suggest_at` gave."""
    order = np.argsort(-likely, kind="stable")
    ordered, hits = likely[order], np.cumsum(truth[order])
    count = np.arange(1, len(ordered) + 1)
    total = max(1.0, float(truth.sum()))
    precision, recall = hits / count, hits / total
    # A threshold lies between two different likelihoods.
    ends = np.append(ordered[1:] < ordered[:-1], True) & (ordered > 0)
    shown = likely >= suggest_at
    asked, found = max(1, int(shown.sum())), float(truth[shown].sum())
    good = np.flatnonzero(ends & (precision >= JOIN_PRECISION) & (count >= JOIN_SEEN))
    join_at = max(JOIN_LEAST, suggest_at, float(ordered[good[-1]])) if len(good) else NEVER
    scores = {
        "reports": len(truth),
        "duplicates": int(truth.sum()),
        "suggest": {
            "precision": round(found / asked, 3),
            "recall": round(found / total, 3),
            "f1": round(2 * found / (asked + total), 3),
        },
    }
    if len(good):
        last = good[-1]
        scores["join"] = {
            "precision": round(float(precision[last]), 3),
            "recall": round(float(recall[last]), 3),
        }
    return round(join_at, 4), scores


_NO_TABLES = Tables(ServiceRow(0, 0.0, 0.0, 0.0), 0.0, 0.0, 0.0, 0.0)
_NEVER = Decider((), 0.0, (), 0.0, (), 1.0, NEVER)
_NOTHING = Model("none", _NO_TABLES, (0.0,) * len(PAIR), _NEVER, _NEVER, _NEVER, 0.0, Said(), {})
