"""What ``evaluate`` takes from other programs: what answers, and the tasks of lm-eval."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["AnswerOptions", "BenchmarkOptions"]

Engine = Literal["transformers", "vllm"]


@dataclass(kw_only=True)
class AnswerOptions:
    """What answers the questions."""

    engine: Engine = "transformers"
    """What generates the answers here: transformers, or vllm where it is installed."""
    served: str | None = None
    """Ask the server at this address, such as http://localhost:8000/v1; --model is its name."""
    served_timeout: float = 120.0
    """Seconds that the server may take for one answer."""


@dataclass(kw_only=True)
class BenchmarkOptions:
    """Which tasks of lm-eval are run too, and how."""

    lm_eval: str | None = None
    """Tasks of lm-eval with commas, such as hellaswag,arc_easy; their data come from the hub."""
    lm_eval_path: Path | None = None
    """Folder with tasks of your own (YAML, and the code that it names) for --lm-eval; no hub."""
    lm_eval_limit: int | None = None
    """Most questions of each task of lm-eval; all by default."""
    lm_eval_shots: int | None = None
    """Examples in front of each question of lm-eval; what the task says by default."""
    lm_eval_template: bool = False
    """Ask lm-eval's questions through the chat template; lm-eval's own default is off."""

    @property
    def asks_hub(self) -> bool:
        """Whether something that is given has its data at the hub, though it is no hub id."""
        return self.lm_eval is not None and self.lm_eval_path is None
