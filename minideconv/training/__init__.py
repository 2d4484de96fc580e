"""The engine room: configuration, checkpoints, the run folder and the training loop."""
