"""The proximal search: questions close to the given ones, found by a falling lead."""

from holdfast.evaluation.redteam.proximal.search import Search, searched

__all__ = ["Search", "searched"]
