"""`flask evaluate forecast`: how far the forecast of closing holds, week by week, causally."""

from __future__ import annotations

from pathlib import Path

import click

from app.evaluating.options import require_cases, zone_named
from core.clock import utc_now
from reports import case_files
from reports.case_files import CaseFileError
from reports.forecast import evaluation


@click.command("forecast")
@click.option(
    "--cases",
    "cases_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="Past cases of a city.",
)
@click.option("--zone", default="UTC", show_default=True, help="Time zone of the city.")
@click.option("--area", help=f"Look by area too: {', '.join(case_files.AREAS)}.")
def forecast_command(cases_file: Path, zone: str, area: str | None) -> None:
    """Forecast each case from what was known in its week, and compare, by month.

    A case still open when the file ends is compared as far as it was seen.
    """
    clock = zone_named(zone)
    try:
        file = case_files.read(cases_file, clock, now=utc_now())
        require_cases(cases_file, file)
    except CaseFileError as error:
        raise click.ClickException(str(error)) from error
    for name, way in evaluation.ways(area).items():
        click.echo(name)
        for month, held in evaluation.by_month(file.cases, way):
            low, high = held.coverage_interval
            click.echo(
                f"  {month}  cases {held.cases:>6}  in the interval {held.inside:.3f}"
                f" [{low:.3f}, {high:.3f}]  below {held.below:.3f}  above {held.above:.3f}"
                f"  within the median {held.by_median:.3f}  within 4 of 5 {held.by_most:.3f}"
                f"  pinball, hours: median {held.pinball[1]:.1f}, 4 of 5 {held.pinball[2]:.1f},"
                f" all four {sum(held.pinball):.1f}"
            )
