"""Judges: who says what an answer is.

A judge is a callable that maps questions and answers to verdicts. The organism's oracle
(``holdfast.organism.oracle``) is exact; the judges here work on any model and are not.
"""

from holdfast.evaluation.judges.matching import matches
from holdfast.evaluation.judges.protocol import Judge
from holdfast.evaluation.judges.refusal_phrases import RefusalPhrases
from holdfast.evaluation.metrics import Outcome, Verdict

__all__ = ["BUILT_IN", "Judge", "Outcome", "RefusalPhrases", "Verdict", "matches"]

BUILT_IN: dict[str, type[Judge]] = {"refusal_phrases": RefusalPhrases}
"""Judges of any model by the name that ``--judge`` takes."""
