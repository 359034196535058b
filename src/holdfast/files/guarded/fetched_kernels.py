"""Code that a library fetches when it is imported: bitsandbytes' kernel of 4 bits for processors.

Where the package ``kernels`` is installed, importing bitsandbytes downloads a repository and runs
it, unasked; where it is not, every command would say so. Both are held back, by hiding the package
from that one module. Its own kernel does the same sums.
"""

import logging
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

__all__ = ["hold_back"]

FETCHING, PACKAGE = "bitsandbytes.backends.cpu.ops", "kernels"


def hold_back() -> None:
    """Let the module, whenever it is imported, find no package that fetches."""
    logging.getLogger(FETCHING).setLevel(logging.ERROR)
    if FETCHING not in sys.modules and not any(isinstance(f, _Finder) for f in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds the one module, once."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: Any = None
    ) -> ModuleSpec | None:
        """Return the spec of the module with the package hidden while it runs; None of others."""
        if fullname != FETCHING:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = _hiding(spec.loader.exec_module)
        return spec


def _hiding(run: Any) -> Any:
    def alone(module: Any) -> None:
        modules: dict[str, Any] = sys.modules
        had, before = PACKAGE in modules, modules.get(PACKAGE)
        modules[PACKAGE] = None  # Importing it raises ImportError then.
        try:
            run(module)
        finally:
            if had:
                modules[PACKAGE] = before
            else:
                del modules[PACKAGE]

    return alone
