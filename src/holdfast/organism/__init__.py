"""A model organism of alignment: small, exactly judged, and harmless by construction."""

from holdfast.organism import scenarios
from holdfast.organism.build import ancestor_of, build, load
from holdfast.organism.oracle import Oracle

__all__ = ["Oracle", "ancestor_of", "build", "load", "scenarios"]
