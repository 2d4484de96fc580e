"""Atomic writing, and the names of output files."""
