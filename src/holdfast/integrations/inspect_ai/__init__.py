"""Tasks, scorer and model provider of inspect-ai, found by its entry points.

``inspect eval holdfast/harmful -T file=harmful.jsonl --model holdfast/FOLDER``: the entry point
``holdfast`` of the group ``inspect_ai`` loads this module, and what its modules define is
registered under ``holdfast/``.
"""

from holdfast.integrations.inspect_ai.provider import holdfast
from holdfast.integrations.inspect_ai.scorer import judged, share, wilson_high, wilson_low
from holdfast.integrations.inspect_ai.solver import decoded_as_here
from holdfast.integrations.inspect_ai.tasks import harmful, safe, task, useful

__all__ = [
    "decoded_as_here", "harmful", "holdfast", "judged", "safe", "share", "task", "useful",
    "wilson_high", "wilson_low",
]  # fmt: skip
