"""`flask jurisdictions …`: cities, loaded from their folders. Registered by `app.commands`.

What reads folders is imported by the commands that need it: every web process imports this module
and has no use for parsers of YAML and map projections.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import sqlalchemy as sa
from flask.cli import AppGroup

from core.db import reading, transaction
from geo.models import Jurisdiction

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

    from app.city import LoadedCity
    from app.city_files import Fault

_FOLDER = click.Path(path_type=Path, file_okay=False)


jurisdictions = AppGroup(
    "jurisdictions", help="Cities: load one from its folder, list those that are here."
)


@jurisdictions.command("load")
@click.argument("folder", type=_FOLDER)
@click.option("--check", is_flag=True, help="Read and check the folder; load nothing.")
@click.option(
    "--allow-loss",
    is_flag=True,
    help="Accept that most known addresses, or more than a tenth of a kind of assets, go.",
)
@click.option("--force-rules", is_flag=True, help="Its routing rules over those of a manager.")
def load(folder: Path, *, check: bool, allow_loss: bool, force_rules: bool) -> None:
    """Load or update the city that FOLDER describes (docs/city-folder.md)."""
    from app import city_reading
    from app.city import PARTS, load_city
    from app.city_reading import CityFolderError

    started = time.monotonic()
    parts = len(city_reading.PARTS) + (0 if check else len(PARTS))
    loaded: LoadedCity | None = None
    try:
        with _progress(parts) as step:
            city = city_reading.read_city(folder, step)
            if not check:
                with transaction() as session:
                    loaded = load_city(
                        session, city, allow_loss=allow_loss, force_rules=force_rules, step=step
                    )
    except CityFolderError as error:
        _say_warnings(error.warnings)
        for fault in error.faults:
            click.echo(str(fault), err=True)
        count = len(error.faults)
        click.echo(f"{count} fault{'s' if count > 1 else ''}; nothing was changed.", err=True)
        sys.exit(1)
    _say_warnings(city.warnings)
    if loaded is None:
        click.echo(f"{city.jurisdiction.code}: the folder is right; nothing was loaded.")
        return
    _say_loaded(loaded, time.monotonic() - started)


@jurisdictions.command("list")
def list_jurisdictions() -> None:
    """The cities that are here: code, version, name."""
    with reading() as session:
        rows = session.execute(
            sa.select(
                Jurisdiction.code,
                Jurisdiction.version,
                Jurisdiction.names,
                Jurisdiction.default_locale,
            ).order_by(Jurisdiction.code)
        ).all()
    for code, version, names, locale in rows:
        click.echo(f"{code}  version {version}  {names.get(locale, code)}")


@jurisdictions.command("build-boston")
@click.argument("data", type=_FOLDER)
@click.argument("out", type=_FOLDER)
def build_boston(data: Path, out: Path) -> None:
    """Write the folder of the real Boston of 2011 to OUT, from the files in DATA.

    Not for shipping: nobody stated the licence of its boundaries. The folder loads over the demo
    city of the same code.
    """
    from app import boston

    try:
        counts = boston.build(data, out)
    except boston.DataMissingError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    for part, count in counts.items():
        click.echo(f"{part:<14}{count:>7}")
    click.echo(f"Now load it: flask jurisdictions load {out}")


@contextmanager
def _progress(parts: int) -> Iterator[Callable[[str], None]]:
    """A bar of that many parts on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    names: list[str] = []
    shown: ProgressBar[int] = click.progressbar(
        length=parts,
        label="Loading",
        item_show_func=lambda _: names[-1] if names else "",
        file=sys.stderr,
    )
    with shown as bar:

        def step(name: str) -> None:
            # A part counts as done when the next one begins.
            bar.update(1 if names else 0)
            names.append(name)

        yield step
        bar.update(1)


def _say_warnings(warnings: Sequence[Fault]) -> None:
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


def _say_loaded(loaded: LoadedCity, seconds: float) -> None:
    click.echo(f"{'':<14}{'new':>8}{'changed':>9}{'gone':>8}{'same':>8}")
    for part, changes in loaded.changes.items():
        click.echo(
            f"{part:<14}{changes.created:>8}{changes.updated:>9}"
            f"{changes.retired:>8}{changes.unchanged:>8}"
        )
    kept = loaded.kept_rules
    if kept is not None:
        day = f" of {kept.created_at:%Y-%m-%d}" if kept.created_at else ""
        click.echo(
            f"rules: version {kept.version}{day} stays in force, a manager made it; the folder's "
            "were not loaded. --force-rules puts them in force."
        )
    result = "loaded" if loaded.is_changed else "nothing changed"
    click.echo(f"{loaded.code}: {result}, version {loaded.version}, {seconds:.1f} s")
