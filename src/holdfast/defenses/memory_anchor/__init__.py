"""Memory anchors: eight ways of continual learning to keep what an aligned model knew."""

from holdfast.defenses.memory_anchor.importance import importance, penalty, pull
from holdfast.defenses.memory_anchor.memory_anchor import MemoryAnchor, memory_term
from holdfast.defenses.memory_anchor.methods import METHODS, Method
from holdfast.defenses.memory_anchor.states import read_layers, states_distance

__all__ = [
    "METHODS", "MemoryAnchor", "Method", "importance", "memory_term", "penalty", "pull",
    "read_layers", "states_distance",
]  # fmt: skip
