"""Is it told already? Candidates, the rule that compares them, and joining without loss."""
