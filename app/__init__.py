"""Composition root: knows every package and is imported by nobody but `wsgi`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from app.config import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """A Riverain application with these settings; by default those of the environment.

    It imports every feature only when called, so that `make run`, which stays in the foreground
    and watches, costs a few megabytes and starts at once.
    """
    from app.composition import compose

    return compose(settings)
