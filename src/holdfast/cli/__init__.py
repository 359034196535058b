"""The command line: one file per command, each of which parses, calls and prints."""

from holdfast.cli.main import main

__all__ = ["main"]
