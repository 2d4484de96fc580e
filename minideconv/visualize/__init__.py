"""Pictures of networks and of runs: boards of masks, activation strips, charts, the report."""
