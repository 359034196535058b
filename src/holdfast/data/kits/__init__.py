"""Kits: public data sets by name, from a local copy first and from the hub at a known commit."""

from holdfast.data.kits.kit import Hub, Kit, Part
from holdfast.data.kits.reading import Origin, kit_rows, kit_table, origin_of
from holdfast.data.kits.registry import PREFIX, Chosen, chosen, is_kit, kits, named_kit

__all__ = [
    "PREFIX", "Chosen", "Hub", "Kit", "Origin", "Part", "chosen", "is_kit", "kit_rows", "kit_table",
    "kits", "named_kit", "origin_of",
]  # fmt: skip
