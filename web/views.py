"""Every page, gathered: importing the modules below routes them, `install` adds them to the app."""

from __future__ import annotations

from flask import Flask

from core.api import Api
from web import (
    account,
    adopting,
    asset,
    asset_forms,
    campaigning,
    caring,
    doubting,
    following,
    helping,
    home,
    inviting,
    manual,
    my_reports,
    pages,
    public,
    roads,
    signing_in,
    single_sign_on,
    tracking,
)
from web.home import Installation

__all__ = [
    "account",
    "adopting",
    "asset",
    "asset_forms",
    "campaigning",
    "caring",
    "doubting",
    "following",
    "helping",
    "home",
    "install",
    "inviting",
    "my_reports",
    "public",
    "roads",
    "signing_in",
    "single_sign_on",
    "tracking",
]


def install(app: Flask, json_api: Api, installation: Installation) -> None:
    """Add the pages. `json_api` is what `/docs` describes."""
    app.extensions["installation"] = installation
    app.extensions["json_api"] = json_api
    manual.install(app)
    pages.install(app)
