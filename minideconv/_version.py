"""The version of the package, in one place: the build and ``minideconv.__version__`` read it here."""

__version__ = "0.1.0.dev0"
