"""The trainer of the command: looks at evaluation data change nothing but what is kept."""

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

from holdfast.artifact import Artifact
from holdfast.commands.run_log import LogLines
from holdfast.commands.several.partners import refuse_uneven
from holdfast.commands.tune_folders import TuneFolders
from holdfast.commands.tuning.eval_rows import Answers, each_once, whole_batches
from holdfast.commands.tuning.trackers import track
from holdfast.commands.tuning.watching import Watched
from holdfast.evaluation import Measurement
from holdfast.inputs.configs import TuneConfig
from holdfast.ops.randomness import isolated_rng
from holdfast.progress import Progress
from holdfast.results.records import LossCurve
from holdfast.training.early_stopping import EarlyStopping
from holdfast.training.trainer import SecureSFTTrainer

__all__ = ["TuneTrainer"]

CURVES = {"loss": "user", "eval_loss": "evaluation"}
"""What a result calls the losses that the Trainer logs."""


class TuneTrainer(SecureSFTTrainer):
    """A ``SecureSFTTrainer`` whose looks at evaluation data draw no random number of the run's.

    A loader draws one, so that dropout would differ between a run with such data and one without.
    """

    drift: Watched | None = None
    """The probes along the run, where the user asked for them."""

    _answers: Answers | None = None

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> Any:
        """Evaluate the model as it would be served; its loss is one of all answer tokens."""
        self._answers = answers = Answers(self, dataloader)
        try:
            with isolated_rng(int(self.args.seed)):
                found = super().evaluation_loop(
                    dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix
                )
        finally:
            self._answers = None
        answers.tell(found.metrics, metric_key_prefix)
        return found

    def prediction_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Read one batch of evaluation rows, and note how many tokens its loss is a mean over."""
        answers = self._answers
        own = inputs if answers is None else answers.own(inputs)
        found = super().prediction_step(model, own, *args, **kwargs)
        if answers is not None:
            answers.add(found[0])
        return found

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        """Return the loader of the evaluation rows, each of which one process reads once."""
        with whole_batches(self.accelerator):
            return each_once(super().get_eval_dataloader(eval_dataset))

    def get_train_dataloader(self) -> Any:
        """Return the loader of the rows, of which each process has as many batches."""
        loader = super().get_train_dataloader()
        refuse_uneven(self, loader)
        return loader

    def tell(self, say: Callable[[str], None], progress: Progress) -> None:
        """Let defenses say what they find, and how far they are before and after the steps."""
        self.say = say
        self._holdfast.progress = progress

    def watch(self, bar: TrainerCallback, folders: TuneFolders, before: Measurement | None) -> None:
        """Let the run be seen: by a bar, in its log, and by the trackers that the user asked for.

        ``before`` is what was measured of the untuned model.
        """
        self.add_callback(bar)
        self.add_callback(LogLines(folders.log))
        track(self, before, folders.output.partial)

    def stop_early(self, config: TuneConfig) -> None:
        """Stop where the user's patience is over."""
        if config.early_stopping is not None:
            self.add_callback(EarlyStopping(config.early_stopping))

    def drifted(self) -> list[Artifact]:
        """Return what the probes say, where the run is watched."""
        return [self.drift.report()] if self.drift is not None else []

    def curves(self) -> list[LossCurve]:
        """Return the losses of the user's and the evaluation rows and of the defenses, by step."""
        found: dict[str, tuple[list[int], list[float]]] = {}
        for entry in self.state.log_history:
            # The user's first; a checkpoint keeps the entries of its log sorted by their keys.
            for key in sorted(entry, key=lambda name: (name not in CURVES, name)):
                if key in CURVES or ("/" in key and "loss" in key):
                    steps, values = found.setdefault(CURVES.get(key, key), ([], []))
                    steps.append(int(entry["step"]))
                    values.append(float(entry[key]))
        return [LossCurve(name=n, steps=s, values=list(v)) for n, (s, v) in found.items()]

    def kept(self) -> tuple[int | None, list[str]]:
        """Return the step whose weights were kept, None where it is the last, and what to say."""
        state = self.state
        if not self.args.load_best_model_at_end or state.best_global_step is None:
            return None, []
        last, best = state.global_step, state.best_global_step
        if state.best_metric is None:
            return best, [f"the weights are those of step {best}: a safety stop went back to it"]
        stopped = f", and the run stopped at step {last} of {state.max_steps}"
        said = (
            f"the weights are those of step {best}, chosen by {self.args.metric_for_best_model} "
            f"{state.best_metric:.4g} on the evaluation data"
        )
        return best, [said + (stopped if last < state.max_steps else "")]
