"""The people of a city: their roles, invitations, and who looks after them."""
