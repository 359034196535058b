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
    classes = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    found: dict[str, str] = {}
    for pair in pairwise(next((c.body for c in classes if c.name == class_name), ())):
        match pair:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(doc))):
                found[name] = " ".join(doc.split())
            case _:
                pass
    return found
