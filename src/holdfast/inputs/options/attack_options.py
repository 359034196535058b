"""What ``evaluate`` and ``redteam`` take to attack a model."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["MOST_DRAWS", "AttackOptions"]

MOST_DRAWS = 10_000
"""More noisy copies of a question than this are a slip of the keyboard; ours."""


@dataclass(kw_only=True)
class AttackOptions:
    """Which attacks are made with the harmful questions, and of what."""

    attacks: str | None = None
    """Attacks with the harmful questions: gate (1 to 5), nightly (1 to 7), or names with commas."""
    task_rows: str | None = None
    """The user's rows, whose format the attack task_wrap takes on; the task's questions without."""
    draws: int = 32
    """Noisy copies of each question in the attack best_of_n, asked until one is answered."""
    attack_seed: int = 0
    """Seed of the noise, and of the search of the attack proximal."""
    frozen: Path | None = None
    """File of attack prompts that `holdfast redteam` froze; one that was changed is refused."""
