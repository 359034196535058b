"""A protected full-parameter run that kills itself after its second checkpoint: ``FOLDER``."""

import os
import signal
import sys
from pathlib import Path

from safetensors.torch import save_file
from transformers import TrainerCallback

from holdfast import SecurityVectors
from tests.unit.defenses.tiny_runs import BENIGN, HARMFUL, trainer_of, weights_of


def defense():
    return SecurityVectors(
        harmful=HARMFUL, benign=BENIGN, lr=1e-2, epochs=3, max_harmful_nll=100.0,
        max_benign_kl=100.0, attach="merged",
    )  # fmt: skip


class Killer(TrainerCallback):
    """Notes what is in memory (merged) for the test, then dies without a word."""

    __module__ = "holdfast.test"  # Only holdfast\'s own callbacks see what is attached.

    def __init__(self, notes):
        self.notes = notes

    def on_step_end(self, args, state, control, model=None, **_):
        save_file(weights_of(model), self.notes / f"merged-{state.global_step}.safetensors")
        if state.global_step == 3:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    notes = folder / "notes"
    notes.mkdir(parents=True)
    trainer = trainer_of(folder / "run", [defense()], save_strategy="steps", save_steps=1)
    trainer.add_callback(Killer(notes))
    trainer.train()
