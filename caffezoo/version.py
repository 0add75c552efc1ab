"""This version, in the package itself: metadata may be that of another caffezoo, which is installed."""

__version__ = "0.1.0"
