"""For tests: local chains, a local oracle, demo models, doubles."""
