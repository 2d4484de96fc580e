"""A run on disk: its folder, checkpoints, journal, progress and report."""
