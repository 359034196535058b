"""Read the docstrings that stand under the fields of a dataclass; they are the only help text.

Python drops these strings at run time, so they are read from the source file.
"""

import ast
import inspect
from itertools import pairwise
from pathlib import Path

__all__ = ["docs_in", "field_docs"]


def field_docs(cls: type) -> dict[str, str]:
    """Return field name to docstring, on one line, for a class and its bases.

    Raises:
        OSError: The source of the class is not on disk.
    """
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base.__module__ != "builtins":
            source = Path(inspect.getfile(base)).read_text(encoding="utf-8")
            found |= docs_in(source, base.__name__)
    return found


def docs_in(source: str, class_name: str) -> dict[str, str]:
    """Return the docstrings under the annotated names of one class in ``source``."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            return dict(_pairs(node.body))
    return {}


def _pairs(body: list[ast.stmt]) -> list[tuple[str, str]]:
    """Pair each annotated name with the string expression right after it."""
    pairs: list[tuple[str, str]] = []
    for field, below in pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            pairs.append((field.target.id, " ".join(below.value.value.split())))
    return pairs
