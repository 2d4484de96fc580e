"""A training step on a GPU: the prefetcher, recorded graphs, memory and metrics on the device."""
