"""`flask evaluate duplicates-by-month`: how good the judge is, by rolling origin, as a document.

For each month but the first: learns from the months before, of which only what was closed by then
has a label, decides the month, and then reads its labels. Beside it the simple rules, and bootstrap
intervals. Writes `duplicates.md` and its pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from app.evaluating import figures
from app.evaluating.options import only_one_month, require_cases, zone_named
from core.clock import utc_now
from core.text import fold
from geo.measures import distance_m
from reports import case_files
from reports.case_files import CaseFileError, PastCase
from reports.duplicates import replaying, scoring
from reports.duplicates.replaying import City, Decided, Label
from reports.duplicates.rules import Search
from reports.duplicates.scoring import Scored
from reports.duplicates.stock import Stock, as_candidate

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)

#: The simple rules: name, metres, days.
BASELINES = (("same point, 7 days", 2.0, 7), ("50 m, 30 days", 50.0, 30), ("250 m", 250.0, 30))


@click.command("duplicates-by-month")
@click.option("--cases", "cases_file", type=_FILE, required=True)
@click.option("--labels", "labels_file", type=_FILE, required=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option("--types", "types_file", type=_FILE, help="Judge these types only, one a line.")
@click.option("--fewest", default=10, show_default=True, help="Or those with so many duplicates.")
@click.option("--samples", default=scoring.SAMPLES, show_default=True, help="Of the bootstrap.")
@click.option("--zone", default="UTC", show_default=True, help="Of times that do not say theirs.")
def by_month_command(
    cases_file: Path,
    labels_file: Path,
    out: Path,
    types_file: Path | None,
    *,
    fewest: int,
    samples: int,
    zone: str,
) -> None:
    """Train on the months before, decide the next, compare: writes DIR/duplicates.md."""
    clock = zone_named(zone)
    try:
        file = case_files.read(cases_file, clock, now=utc_now())
        require_cases(cases_file, file)
        cases = replaying.in_order(file.cases)
        labels = replaying.read_labels(labels_file)
    except CaseFileError as error:
        raise click.ClickException(str(error)) from error
    if types_file is not None:
        types = {fold(line) for line in types_file.read_text(encoding="utf-8").splitlines()}
    else:
        types = _common(cases, labels, fewest)
    months = sorted({case.opened_at.astimezone(clock).strftime("%Y-%m") for case in cases})
    if len(months) == 1:
        raise click.ClickException(only_one_month(cases_file))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"{out} cannot be made: {error.strerror}.") from error
    tables = []
    lines: dict[str, figures.Points] = {}
    reliable: dict[str, figures.Points] = {}
    dots: dict[str, tuple[float, float]] = {}
    for month in months[1:]:
        start = datetime.strptime(month, "%Y-%m").replace(tzinfo=clock)
        end = (start + timedelta(days=32)).replace(day=1)
        before = [_as_then(case, start) for case in cases if case.opened_at < start]
        own = [case for case in cases if start <= case.opened_at < end]
        asked = [case for case in own if fold(case.type) in types and case.point is not None]
        by_id = {case.id: case for case in cases}
        results = {"the judge": _judge(before, own, labels, clock, month)}
        for name, radius_m, days in BASELINES:
            results[name] = _baseline([*before, *own], own, clock, radius_m, days)
        scored = {name: _scored(decided, asked, labels, by_id) for name, decided in results.items()}
        tables.append(_table(month, scored, samples))
        lines[month] = scoring.curve(scored["the judge"])
        reliable[month] = [
            (mean, share)
            for mean, share, count in scoring.reliability(scored["the judge"])
            if count >= 5
        ]
        for name, _, _ in BASELINES[:1]:
            dots[f"{month}: {name}"] = (
                scoring.recall(scored[name]) or 0.0,
                scoring.precision(scored[name]) or 0.0,
            )
        click.echo(tables[-1])
    _write(out, tables, lines, reliable, dots)


def _common(cases: Sequence[PastCase], labels: Mapping[str, Label], fewest: int) -> set[str]:
    counts: dict[str, int] = {}
    for case in cases:
        label = labels.get(case.id)
        if label and label.is_duplicate:
            counts[fold(case.type)] = counts.get(fold(case.type), 0) + 1
    return {key for key, count in counts.items() if count >= fewest}


def _as_then(case: PastCase, now: datetime) -> PastCase:
    """As it was known then: what was closed later is open."""
    if case.closed_at is None or case.closed_at < now:
        return case
    return replace(case, closed_at=None)


def _judge(
    before: Sequence[PastCase],
    own: Sequence[PastCase],
    labels: Mapping[str, Label],
    clock: ZoneInfo,
    month: str,
) -> list[Decided]:
    from reports.duplicates import training

    known = {case.id: labels[case.id] for case in before if case.id in labels and case.closed_at}
    city, pasts = replaying.pasts(before, known, clock)
    try:
        model = training.train(pasts, city.kinds, version=f"before {month}", record={})
    except training.TooLittleError as error:
        raise click.ClickException(f"{month}: {error}") from error
    return list(replaying.decide(model, clock, own, before))


def _baseline(
    cases: Sequence[PastCase], own: Sequence[PastCase], clock: ZoneInfo, radius_m: float, days: int
) -> list[Decided]:
    """Flags a report if one of its type is open within so many metres and days."""
    city = City(clock)
    city.learn_services(cases)
    asked = {case.id for case in own}
    has_time = not city.is_dated(own)
    stock = Stock(next((case.point.lat for case in cases if case.point), 0.0))
    decided = []
    for case in replaying.in_order(cases):
        report = city.report(case, has_time=has_time)
        if case.id in asked:
            since = report.requested_at - timedelta(days=days)
            search = Search((report.service_id,), radius_m, since, report.requested_at)
            found = []
            for candidate in stock.near(report, search):
                if report.point is None or candidate.point is None:
                    continue
                metres = distance_m(report.point, candidate.point)
                if metres <= radius_m and candidate.requested_at >= since:
                    age = report.requested_at - candidate.requested_at
                    found.append((metres, age, city.names[candidate.id]))
            found.sort()
            score = 1.0 / (1.0 + found[0][1] / timedelta(days=1)) if found else 0.0
            names = tuple(name for _, _, name in found[: replaying.WRITTEN])
            decided.append(Decided(case.id, bool(found), names[0] if names else None, score, names))
        stock.add(as_candidate(report, case.closed_at), has_time=has_time)
    return decided


def _scored(
    decided: Sequence[Decided],
    asked: Sequence[PastCase],
    labels: Mapping[str, Label],
    by_id: Mapping[str, PastCase],
) -> list[Scored]:
    made = {each.id: each for each in decided}
    scored = []
    for case in asked:
        each, label = made[case.id], labels.get(case.id, Label(False, None))
        parent = by_id.get(label.parent) if label.parent else None
        is_named = parent is not None and parent.opened_at <= case.opened_at
        rank = None
        if label.parent in each.candidates:
            rank = each.candidates.index(label.parent)
        scored.append(
            Scored(
                each.score,
                each.is_duplicate,
                label.is_duplicate,
                label.parent is not None,
                is_named,
                rank,
            )
        )
    return scored


def _table(month: str, scored: Mapping[str, Sequence[Scored]], samples: int) -> str:
    items = next(iter(scored.values()))
    duplicates = sum(item.is_duplicate for item in items)
    named = sum(item.is_named for item in items)
    lines = [
        f"**{month}**: {len(items)} reports, {duplicates} duplicates, {named} with a named parent",
        "",
        "| | " + " | ".join(scored) + " |",
        "|---" * (len(scored) + 1) + "|",
    ]
    for name, measure in scoring.MEASURES.items():
        cells = [
            str(scoring.bootstrap(each, measure, samples if who == "the judge" else 0))
            for who, each in scored.items()
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _write(
    out: Path,
    tables: Sequence[str],
    lines: Mapping[str, figures.Points],
    reliable: Mapping[str, figures.Points],
    dots: Mapping[str, tuple[float, float]],
) -> None:
    (out / "duplicates.md").write_text("\n".join(tables), encoding="utf-8")
    (out / "duplicates-precision-recall.svg").write_text(
        figures.chart("Duplicates found", "recall", "precision", lines, dots), encoding="utf-8"
    )
    (out / "duplicates-reliability.svg").write_text(
        figures.chart("Said and true", "score", "share of duplicates", reliable, diagonal=True),
        encoding="utf-8",
    )
