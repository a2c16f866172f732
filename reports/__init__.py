"""The service request: intake, life cycle, duplicates, routing, service levels, media."""
