"""The reporter's and the public's side of the JSON API."""

from __future__ import annotations

from flask_smorest import Blueprint

blueprint = Blueprint("reports", __name__, description="Reports: file one, follow it, find them.")
