"""A model organism of alignment: small, exactly judged, and harmless by construction."""

from holdfast.organism import scenarios
from holdfast.organism.build import build, load
from holdfast.organism.oracle import Oracle

__all__ = ["Oracle", "build", "load", "scenarios"]
