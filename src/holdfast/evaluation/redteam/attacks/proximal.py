"""Attack 7: a question that stays close to the given one, found by climbing on a falling lead.

DART (arXiv 2501.08246) changes given prompts little, so that the reply is harmful. Kept of it: the
proximity, and the tally per category. Its diffusion and its inversion of embeddings are not
rebuilt; ``docs/red_team.md`` says why.
"""

from holdfast.evaluation.redteam.attack import Attack

__all__ = ["PROXIMAL"]

PROXIMAL = Attack("proximal", 7, "close to the question", None)
