"""Who may decide, for whom, together with whom, and whether the operator's policy accepts it."""
