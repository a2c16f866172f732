"""People, staff roles, teams, sessions and keys."""
