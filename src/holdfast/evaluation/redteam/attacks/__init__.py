"""The attacks, one module each, in the order of use."""

from holdfast.evaluation.redteam.attacks.best_of_n import BEST_OF_N
from holdfast.evaluation.redteam.attacks.direct import DIRECT
from holdfast.evaluation.redteam.attacks.persona import PERSONA
from holdfast.evaluation.redteam.attacks.prefill import PREFILL
from holdfast.evaluation.redteam.attacks.proximal import PROXIMAL
from holdfast.evaluation.redteam.attacks.task_wrap import TASK_WRAP
from holdfast.evaluation.redteam.attacks.template import TEMPLATE

__all__ = ["BEST_OF_N", "DIRECT", "PERSONA", "PREFILL", "PROXIMAL", "TASK_WRAP", "TEMPLATE"]
