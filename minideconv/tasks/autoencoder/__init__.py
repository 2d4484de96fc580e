"""Learning without labels: draw the input again."""

from minideconv.tasks.autoencoder.task import Autoencode

__all__ = ["Autoencode"]
