"""What a city offers to sign in with, for apps; the pages of the sign-in itself are in `web`."""

from __future__ import annotations

from typing import Any

from flask import current_app, request
from flask_smorest import Blueprint
from marshmallow import fields, validate

from accounts import oidc
from accounts.access import EVERYONE, allow
from core.api import Schema, Text
from core.db import reading
from core.i18n import asked_for, language_of

blueprint = Blueprint("sign_in_ways", __name__, description="What a city offers to sign in with.")


class SignInWaysIn(Schema):
    """Of which city."""

    jurisdiction = Text(
        max_length=80, metadata={"description": "Code of one city; without it, all of them."}
    )


class SignInWayOut(Schema):
    """One way to sign in."""

    way = fields.String(
        required=True,
        validate=validate.OneOf(["password", "link", "oidc"]),
        metadata={
            "description": "`password` and `link` are calls of this API; `oidc` is a page to open"
            " in a browser."
        },
    )
    jurisdiction = fields.String(metadata={"description": "`oidc`: whose provider it is."})
    name = fields.String(metadata={"description": "`oidc`: what it is called."})
    url = fields.URL(metadata={"description": "`oidc`: where the sign-in begins."})


class SignInWaysOut(Schema):
    """Every way that is open."""

    items = fields.List(fields.Nested(SignInWayOut), required=True)


@blueprint.route("/sign-in-ways")
@allow(EVERYONE)
@blueprint.arguments(SignInWaysIn, location="query")
@blueprint.response(200, SignInWaysOut)
def ways(sent: dict[str, Any]) -> dict[str, Any]:
    """List the ways to sign in.

    Password and mailed link are everybody's; a city's own identity provider (OpenID Connect) is for
    its staff, in a browser.
    """
    base_url = current_app.config["BASE_URL"]
    locale = language_of(asked_for(request.accept_languages))
    with reading() as session:
        providers = oidc.offered(session, sent.get("jurisdiction"))
    return {
        "items": [
            {"way": "password"},
            {"way": "link"},
            *(
                {
                    "way": "oidc",
                    "jurisdiction": provider.jurisdiction,
                    "name": provider.name(locale),
                    "url": f"{base_url}{provider.path}",
                }
                for provider in providers
            ),
        ]
    }
