"""Which feature has which blueprints, and what one feature needs to know from another."""

from __future__ import annotations

from flask import Flask
from flask_cors import CORS

from core.api import Api


def register_features(app: Flask, json_api: Api) -> None:
    """Register every feature's routes with the application."""
    from accounts.access import install as install_access
    from reports.intake_views import blueprint as intake

    install_access(app)
    for blueprint in (intake,):
        json_api.register_blueprint(blueprint, url_prefix="/api/v1")
    CORS(
        app,
        resources={r"/api/v1/*": {"origins": "*"}},
        methods=["GET", "HEAD", "OPTIONS", "POST", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "If-Match"],
        expose_headers=["ETag", "Link", "Retry-After", "X-Request-Id"],
        max_age=3600,
    )
