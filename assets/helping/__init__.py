"""Reports and volunteers: whoever looks after an asset is asked about a report at or near it.

They answer that they did it, which resolves the report where its service lets volunteers and is a
proposal to the team elsewhere, or that it needs the city. One answer for each report counts.
"""
