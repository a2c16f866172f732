"""Which feature has which blueprints, and what one feature needs to know from another."""

from __future__ import annotations

from flask import Flask
from flask_cors import CORS

from app.config import Settings
from app.headers import EXPOSED
from core import limits
from core.api import Api
from core.tally import Tally


def register_features(app: Flask, json_api: Api) -> None:
    """Register every feature's routes with the application."""
    from accounts import access, oidc
    from accounts.audit.views import blueprint as audit
    from accounts.blocks.views import blueprint as blocks
    from accounts.me.views import blueprint as me
    from accounts.oidc.views import blueprint as sign_in_ways
    from accounts.security_views import blueprint as security
    from accounts.staff.views import blueprint as people
    from accounts.views import blueprint as accounts
    from app.person_data_views import blueprint as person_data
    from assets.adoption.views import blueprint as adoption
    from assets.campaigns.views import blueprint as campaigns
    from assets.care.views import blueprint as care
    from assets.corrections.views import blueprint as corrections
    from assets.helping.views import blueprint as helping
    from assets.views import blueprint as assets
    from notifications.views import blueprint as notifications
    from open311 import views as open311
    from open311.downstream_views import blueprint as downstream
    from open311.forwarding.views import blueprint as forwardings
    from reports import own
    from reports.checking_views import blueprint as checks
    from reports.intake_views import blueprint as intake
    from reports.own_views import blueprint as own_reports
    from reports.public_views import blueprint as reports
    from reports.redaction_views import blueprint as redactions
    from reports.rules_views import blueprint as rules
    from reports.staff_views import blueprint as staff
    from reports.suggestion_views import blueprint as suggestions
    from sensing.seeing.views import blueprint as roads
    from sensing.views import blueprint as trips

    settings: Settings = app.extensions["settings"]
    access.describe(app, json_api.spec)
    limits.trust_proxies(app, settings.trusted_proxies)
    if settings.rate_limits:
        limits.install(
            app,
            redis_url=app.config["REDIS_URL"],
            secret=settings.secret_key,
            caller=access.caller,
            exempt=("healthz", "readyz", "metrics"),
        )
    app.extensions["tally"] = Tally(app.config["REDIS_URL"])
    access.install(app)
    app.extensions["oidc"] = oidc.Connector(settings.client_secrets, settings.outgoing_allow)
    # What was reported and followed under a contact belongs to whoever proves it.
    app.extensions["belongings"] = own
    for blueprint in (
        accounts,
        security,
        people,
        me,
        sign_in_ways,
        audit,
        blocks,
        intake,
        checks,
        reports,
        own_reports,
        staff,
        suggestions,
        assets,
        redactions,
        rules,
        forwardings,
        person_data,
        notifications,
        adoption,
        helping,
        corrections,
        care,
        campaigns,
        roads,
        trips,
    ):
        json_api.register_blueprint(blueprint, url_prefix="/api/v1")
    open311.install(app)
    app.register_blueprint(downstream)
    CORS(
        app,
        resources={r"/api/v1/*": {"origins": "*"}, r"/open311/*": {"origins": "*"}},
        methods=["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=[
            "Authorization",
            "Content-Type",
            "Idempotency-Key",
            "If-Match",
            "X-Device-Id",
            "X-Proof-Of-Work",
            "X-Tracking-Token",
        ],
        expose_headers=list(EXPOSED),
        max_age=3600,
    )


def register_pages(app: Flask, json_api: Api) -> None:
    """Add the pages that people read, and the page that shows the JSON API."""
    from web.home import Installation
    from web.views import install

    settings: Settings = app.extensions["settings"]
    install(
        app,
        json_api,
        Installation(
            mail_folder=None if settings.smtp_url else str(settings.data_dir / "outbox"),
            is_development=settings.environment == "development",
        ),
    )
