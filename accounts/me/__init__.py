"""One's own account: what one sees, says and changes of oneself."""
