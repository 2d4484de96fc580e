"""Settings of a run: options, TOML files, sizes, and what all command lines share."""
