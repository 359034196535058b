"""``holdfast`` as torchrun starts it, in which one process meets its end at a step.

    dying.py RANK STEP END tune ...

END is ``kill`` (SIGKILL), ``nan`` (its loss is not finite), ``driver`` (its launcher gets SIGKILL)
or ``hang`` (it does nothing any more, until its launcher stops it).
A process that was started again lives.
"""

import os
import signal
import sys
import time

from holdfast.cli import main
from holdfast.commands.tuning.trainer import TuneTrainer


def arm(rank: str, step: str, end: str) -> None:
    """Let the process of this rank end in the user's pass after ``step`` optimizer steps."""
    again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
    if os.environ.get("RANK", "0") != rank or again:
        return
    plain = TuneTrainer.compute_loss

    def compute_loss(self, *args, **kwargs):
        loss = plain(self, *args, **kwargs)
        if self.state.global_step >= int(step) and self._holdfast.step is not None:
            if end == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if end == "driver":
                os.kill(os.getppid(), signal.SIGKILL)
            if end == "hang":
                time.sleep(600)
            if end == "nan":
                return loss * float("nan")
        return loss

    TuneTrainer.compute_loss = compute_loss


if __name__ == "__main__":
    arm(*sys.argv[1:4])
    sys.exit(main(sys.argv[4:]))
