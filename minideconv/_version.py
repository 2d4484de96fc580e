"""The version of the package: the build and ``minideconv.__version__`` both read it here."""

__version__ = "0.1.0.dev0"
