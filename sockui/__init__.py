"""sockui: what is wrong with the connections on this host, since when, and what to do."""

__version__ = "0.1.0"
