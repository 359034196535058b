"""The one environment of all pages: everything is escaped, an unknown name is an error."""

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

__all__ = ["environment_with"]


def environment_with(filters: Mapping[str, Callable[..., Any]]) -> Environment:
    """Return an environment of the package's templates with a page's own filters."""
    environment = Environment(
        loader=PackageLoader("holdfast.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment
