"""Disputes over single elements of a run: what the parties see on chain, show each other, and do next."""
