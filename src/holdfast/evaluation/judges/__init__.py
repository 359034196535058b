"""Judges: who says what an answer is.

A judge is a callable that maps questions and answers to verdicts. The organism's oracle
(``holdfast.organism.oracle``) is exact; the judges here work on any model and are not.
"""

from holdfast.evaluation.judges.content import (
    BeaverDam,
    HarmBench,
    LlamaGuard3,
    LlamaGuard4,
    Qwen3Guard,
    ShieldGemma,
    StrongReject,
    WildGuard,
)
from holdfast.evaluation.judges.endpoint import EndpointJudge
from holdfast.evaluation.judges.learned_refusal import LearnedRefusal
from holdfast.evaluation.judges.matching import matches
from holdfast.evaluation.judges.protocol import Judge, MakesJudge
from holdfast.evaluation.judges.refusal_phrases import RefusalPhrases
from holdfast.evaluation.metrics import Outcome, Verdict

__all__ = ["BUILT_IN", "Judge", "LearnedRefusal", "Outcome", "RefusalPhrases", "Verdict", "matches"]

BUILT_IN: dict[str, MakesJudge] = {
    "learned_refusal": LearnedRefusal,
    "refusal_phrases": RefusalPhrases,
    "llama_guard_3": LlamaGuard3,
    "llama_guard_4": LlamaGuard4,
    "wildguard": WildGuard,
    "shieldgemma": ShieldGemma,
    "qwen3guard": Qwen3Guard,
    "harmbench": HarmBench,
    "strongreject": StrongReject,
    "beaver_dam": BeaverDam,
    "endpoint": EndpointJudge,
}
"""Judges of any model by the name that ``--judge`` takes."""
