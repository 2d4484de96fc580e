"""A training step on a GPU: the feeder, recorded graphs, memory and metrics on the device."""
