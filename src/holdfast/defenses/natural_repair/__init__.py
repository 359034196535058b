"""Natural repair: small steps back to refusing, measured where the user's task would feel them."""

from holdfast.defenses.natural_repair.apply import apply_natural_repair
from holdfast.defenses.natural_repair.frontier import Place, within
from holdfast.defenses.natural_repair.natural_repair import NaturalRepair
from holdfast.defenses.natural_repair.objective import way_back

__all__ = ["NaturalRepair", "Place", "apply_natural_repair", "way_back", "within"]
