"""Many small steps as one call: a flat program of words over one flat memory, run by a compiled loop."""
