"""GeoReport v2, both ways: a server for whoever speaks Open311, and a client of other systems.

It owns no reports: what comes in goes through `reports.submission`, what goes out is what the
public sees. Riverain's words stand inside, Open311's only at the border (`open311.translating`).
"""
