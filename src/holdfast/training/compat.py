"""Every touch of a private or moving surface of transformers, trl and accelerate, in one place.

Checked on transformers 5.23.0, trl 1.16.0, accelerate 1.15.0.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Literal, cast

from accelerate.utils import DistributedType
from datasets import Dataset, IterableDataset
from torch.distributed import distributed_c10d
from transformers import Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, rotate_checkpoints
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling, SFTTrainer

from holdfast.data.chat import encode
from holdfast.data.tokenized import has_conversations, tokenized
from holdfast.defense import Capability, Examples
from holdfast.errors import ConfigError, ModelError
from holdfast.files.guarded.models import refuse_pickled_weights
from holdfast.files.sealing.checkpoints import (
    check_best,
    clear,
    drop_apart,
    newest_whole,
    seal_checkpoint,
    told_apart,
    whole_one,
)  # fmt: skip
from holdfast.training.quiet import no_telemetry

no_telemetry()  # Nothing goes to the network here unless a hub id is given.

__all__ = [
    "LoopHooks", "collated", "counted_labels", "counts_on", "ddp_limits", "ends_update",
    "first_rows", "is_distributed", "is_stock", "knows_rows", "loss_gives_logits",
    "outputs_with_logits", "own_class", "prepared", "process_store", "scaled_gradients",
    "scales_itself", "sealed", "step_figures", "step_rows", "templating", "times_averaged",
    "unlogged", "wait_at_most", "whole_checkpoint", "whole_optimizer",
]  # fmt: skip


_LOSS, _TOKENS, _FIGURES = "_tr_loss", "_total_train_tokens", "_metrics"
"""Sums of transformers and TRL, and TRL's lists of figures, that their checkpoints leave out."""
WHOLE_OPTIMIZER = (
    "an optimizer given as optimizers= cannot be split by module; let the trainer make it, or use "
    "optimizer_cls_and_kwargs="
)


class LoopHooks(Trainer):
    """Tells a subclass of three moments that ``Trainer`` has no public hook for.

    Checkpoints are written anew, never over another's files, and the best one must be whole. A run
    that goes on from its last step takes no step more.
    """

    def _holdfast_loop_begins(self, checkpoint: str | None) -> None:
        """Be told; the model is the one that will be trained, and no data were read yet."""

    def _holdfast_last_step_done(self) -> None:
        """Be told; the steps are over and the weights are still those of the last step."""

    def _holdfast_best_loaded(self, checkpoint: Path) -> None:
        """Be told; the weights are now those of the best checkpoint."""

    def _inner_training_loop(self, *args: Any, **kwargs: Any) -> Any:
        self._holdfast_loop_begins(kwargs.get("resume_from_checkpoint"))
        return super()._inner_training_loop(*args, **kwargs)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        if self.state.global_step >= self.state.max_steps:
            # Killed behind its last checkpoint: inside an epoch one step more would be taken.
            self.control.should_training_stop = True
            return
        super()._run_epoch(*args, **kwargs)  # type: ignore[misc]

    def _finalize_training(self, *args: Any, **kwargs: Any) -> Any:
        self._holdfast_last_step_done()
        return super()._finalize_training(*args, **kwargs)  # type: ignore[misc]

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        root = Path(self._get_output_dir(trial=trial))
        self._holdfast_checkpoint = root / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        if self.args.should_save:
            # One of the same step goes with what it kept apart; of a torn one that is not known.
            told = told_apart(root, _apart(self))
            clear(self._holdfast_checkpoint)
            # The Trainer's own rotation comes first.
            self._holdfast_told_apart = told_apart(root, _apart(self)) if told is None else told
        self.accelerator.wait_for_everyone()  # What others write there must not be cleared.
        with _one_more(self):
            super()._save_checkpoint(model, trial)  # type: ignore[misc]

    def _load_best_model(self) -> None:
        if self.state.best_model_checkpoint is not None:
            found = _where_it_is(self, self.state.best_model_checkpoint)
            self.state.best_model_checkpoint = str(found)
        check_best(self.state.best_model_checkpoint, _private(self))
        super()._load_best_model()
        self._holdfast_best_loaded(Path(str(self.state.best_model_checkpoint)))


def unlogged(trainer: Any) -> dict[str, Any]:
    """Return what the trainer has counted since its last log line, and its tokens in all."""
    found: dict[str, Any] = {}
    if _LOSS in vars(trainer):
        loss = trainer.accelerator.gather(trainer._tr_loss.detach()).mean().item()
        found = {"loss": loss, "since": trainer._globalstep_last_logged}
    if (figures := step_figures(trainer, "train")) is not None:
        own = {name: each for name, each in figures.items() if each}
        found["figures"] = {n: [float(sum(each) / len(each)), len(each)] for n, each in own.items()}
    return found | ({"tokens": trainer._total_train_tokens} if _TOKENS in vars(trainer) else {})


def counts_on(trainer: Any, told: Mapping[str, Any]) -> None:
    """Let a trainer that goes on count on from what it had counted at the checkpoint."""
    if _LOSS in vars(trainer) and "loss" in told:
        trainer._tr_loss += told["loss"]
        trainer._total_loss_scalar -= told["loss"]  # Its mean is of the steps from here on.
        trainer._globalstep_last_logged = int(told["since"])
    if _TOKENS in vars(trainer) and "tokens" in told:
        trainer._total_train_tokens = told["tokens"]
    if (figures := step_figures(trainer, "train")) is not None and "figures" in told:
        figures.clear()
        figures.update({name: [mean] * count for name, (mean, count) in told["figures"].items()})


def step_figures(trainer: Any, mode: Literal["train", "eval"]) -> dict[str, list[float]] | None:
    """Return TRL's figures of every micro-batch since its last log line; None of other classes."""
    own: Any = vars(trainer).get(_FIGURES)
    return own[mode] if _TOKENS in vars(trainer) and isinstance(own, Mapping) else None


def sealed(trainer: Any, last: Callable[[Path, dict[str, Any]], None]) -> None:
    """Seal the checkpoint that was written now, when callbacks have put in it what they want.

    ``last`` is given its folder and what was not logged, and writes what tells of all before.
    """
    told = unlogged(trainer)
    trainer.accelerator.wait_for_everyone()
    if trainer.args.should_save:
        folder: Path = trainer._holdfast_checkpoint
        last(folder, told)
        private = _private(trainer)
        seal_checkpoint(folder, private)
        rotate_checkpoints(
            output_dir=str(folder.parent),
            save_total_limit=trainer.args.save_total_limit,
            best_model_checkpoint=trainer.state.best_model_checkpoint,
            use_mtime=True,
        )
        drop_apart(private, trainer._holdfast_told_apart, folder.parent, _apart(trainer))
    trainer.accelerator.wait_for_everyone()  # Nobody reads it back before it is whole.


def _private(trainer: Any) -> Path:
    output, held = (
        Path(str(trainer.args.output_dir)).absolute(),
        getattr(trainer, "_holdfast", None),
    )
    apart = held.artifacts_dir if held else output.with_name(f"{output.name}-artifacts")
    return apart / "state"


def _apart(trainer: Any) -> Path:
    """Return where a repaired run's own checkpoints are moved to."""
    return _private(trainer).with_name("checkpoints")


def _where_it_is(trainer: Any, checkpoint: str) -> Path:
    """Return the checkpoint's folder, also where it was moved."""
    moved = _apart(trainer) / Path(checkpoint).name
    return moved if moved.is_dir() and not Path(checkpoint).exists() else Path(checkpoint)


@contextmanager
def _one_more(trainer: Trainer) -> Generator[None]:
    """Keep the only earlier checkpoint until the new one is sealed."""
    limit = trainer.args.save_total_limit
    trainer.args.save_total_limit = 2 if limit == 1 else limit
    try:
        yield
    finally:
        trainer.args.save_total_limit = limit


def prepared(trainer: Trainer, rows: Examples) -> Any:
    """Tokenize Examples as this trainer tokenizes the user's; rows with ``input_ids`` stay."""
    if len(rows) and "input_ids" in rows[0]:
        return rows
    tokenizer = trainer.processing_class
    if tokenizer is None:
        raise ModelError("the trainer has no processing_class=; give it the model's tokenizer")
    if isinstance(trainer, SFTTrainer):
        sft: Any = trainer  # SFTTrainer offers no public way to its own preparation.
        table = _table(rows)
        # Where the user's own loss is on whole conversations, the defender's is still on answers.
        asked = {"prompt", "completion"} <= set(table.column_names)
        if asked and (has_conversations(table) or not sft.completion_only_loss):
            table = tokenized(table, tokenizer, "the defender's rows")
        read = {"prompt", "completion", "messages"}
        if "input_ids" in table.column_names:
            read = {"input_ids", "labels"}
        extra = [c for c in table.column_names if c not in read]
        ready = sft._prepare_dataset(
            table.remove_columns(extra), tokenizer, trainer.args, False, None, "defense"
        )
        known = {"input_ids", "labels", "assistant_masks"}
        return ready.remove_columns([c for c in ready.column_names if c not in known])
    return [encode(dict(row), tokenizer, None) for row in rows]


def _table(rows: Examples) -> Dataset:
    """Return rows as TRL reads them: values as they are stored, a transform's made by now."""
    if isinstance(rows, Dataset) and rows.format["type"] != "custom":
        return rows.with_format(None)
    return Dataset.from_list([dict(r) for r in rows])


def knows_rows(trainer: Trainer) -> bool:
    """Tell whether preparation and collator are TRL's own for SFT, as ``prepared`` knows them."""
    kind, stock = cast("Any", type(trainer)), cast("Any", SFTTrainer)
    own = isinstance(trainer, SFTTrainer) and kind._prepare_dataset is stock._prepare_dataset
    return own and type(trainer.data_collator) is DataCollatorForLanguageModeling


def templating(trainer: Trainer) -> tuple[Any, int | None, dict[str, Any]]:
    """Return the trainer's tokenizer, its longest row, and what it gives the chat template."""
    reader: Any = trainer.processing_class
    tokenizer = getattr(reader, "tokenizer", reader)  # A processor of images and text holds one.
    limit = getattr(trainer.args, "max_length", None)
    options = dict(getattr(trainer.args, "chat_template_kwargs", None) or {})
    template = getattr(trainer, "chat_template", None)
    if isinstance(template, str):
        options["chat_template"] = template
    return tokenizer, limit if isinstance(limit, int) else None, options


def first_rows(trainer: Trainer, count: int) -> list[Any]:
    """Return the first of the user's rows, none where they can be read but once.

    A stream of ``datasets`` begins anew for each who reads it.
    """
    rows: Any = trainer.train_dataset
    if isinstance(rows, IterableDataset):
        return list(islice(rows, count))
    if not (hasattr(rows, "__len__") and hasattr(rows, "__getitem__")):
        return []
    return [rows[i] for i in range(min(count, len(rows)))]


def collated(trainer: Trainer, rows: Sequence[Any]) -> Any:
    """Return the batch that the trainer's dataloader makes of these rows."""
    theirs: Any = trainer
    return theirs._get_collator_with_removed_columns(trainer.data_collator)(list(rows))


def is_stock(trainer: Trainer, method: str) -> bool:
    """Tell whether a method of the trainer is that of transformers or TRL."""
    if method in vars(trainer):
        return False
    kinds = [kind for kind in own_class(trainer).__mro__ if method in vars(kind)]
    return kinds[0].__module__.partition(".")[0] in ("transformers", "trl")


def own_class(trainer: Trainer) -> type[Trainer]:
    """Return the class that the trainer had before defenses were mixed in."""
    return next(kind for kind in type(trainer).__mro__ if not issubclass(kind, LoopHooks))


def scales_itself(trainer: Trainer, items: Any) -> bool:
    """Tell whether the trainer's loss is a mean over all micro-batches, as its own step decides.

    ``items`` is the ``num_items_in_batch`` that the step was called with.
    """
    if trainer.loss_is_scaled_for_ga is not None:
        return bool(trainer.loss_is_scaled_for_ga)
    counted = bool(trainer.model_accepts_loss_kwargs) and items is not None
    return counted or trainer.compute_loss_func is not None


def times_averaged(trainer: Trainer, items: Any) -> int:
    """Return what the trainer multiplies its loss by, since a mean over processes divides it.

    It does so where ``items``, its ``num_items_in_batch``, are those of all processes.
    """
    counts = trainer.model_accepts_loss_kwargs or trainer.compute_loss_func is not None
    if items is None or not (trainer.args.average_tokens_across_devices and counts):
        return 1
    theirs: Any = trainer
    return max(1, trainer.accelerator.num_processes // theirs.get_tp_size())


def counted_labels(trainer: Trainer, inputs: Mapping[str, Any]) -> Any:
    """Return the labels that the trainer counts answer tokens by, None without labels."""
    if "shift_labels" in inputs:
        return inputs["shift_labels"]
    labels, shifts = inputs.get("labels"), getattr(trainer, "_loss_shifts_labels", True)
    # The first label has no prediction; the trainer leaves it out of its count as well.
    return labels[..., 1:] if labels is not None and shifts else labels


def step_rows(trainer: Any) -> int | None:
    """Return the rows of an optimizer step in all processes; None where the trainer finds them."""
    if trainer.args.auto_find_batch_size:
        return None
    rows = int(trainer.get_total_train_batch_size(trainer.args))
    # A batch that is split among the processes is counted once for each of them.
    return rows // trainer.accelerator.num_processes if trainer.accelerator.split_batches else rows


def is_distributed(trainer: Trainer) -> str | None:
    """Return the name of the distribution this trainer runs under, None for one process."""
    kind = trainer.accelerator.distributed_type
    if kind == DistributedType.NO:
        return "nn.DataParallel" if trainer.args.n_gpu > 1 else None
    return str(kind.value)


def process_store() -> Any:
    """Return the key–value store in which the processes of this run found each other."""
    private: Any = distributed_c10d  # There is no public way to it.
    return private._get_default_store()


def wait_at_most(seconds: float) -> None:
    """Let every common operation of the processes of this run fail after so many seconds."""
    private: Any = distributed_c10d  # There is no public way to change it once they have joined.
    private._set_pg_timeout(timedelta(seconds=seconds))


def ddp_limits(trainer: Trainer) -> dict[Capability, str]:
    """Return what this trainer's ``DistributedDataParallel`` cannot do, and why."""
    accelerator: Any = trainer.accelerator
    handler = accelerator.ddp_handler
    static = bool(getattr(handler, "static_graph", False))
    if getattr(handler, "find_unused_parameters", False) and not static:
        return {}
    why = (
        "this DistributedDataParallel waits for the gradient of every tensor in every step; set "
        "ddp_find_unused_parameters=True (and no ddp_static_graph)"
    )
    return {Capability.FREEZES: why}


def scaled_gradients(trainer: Trainer) -> dict[Capability, str]:
    """Return what is missing under float16, whose gradients the trainer scales."""
    if not trainer.args.fp16:
        return {}
    why = "fp16=True scales the user's gradients and not the extra ones; use bf16=True instead"
    return {Capability.EXTRA_BACKWARD: why}


def whole_optimizer(trainer: Trainer) -> dict[Capability, str]:
    """Return what is missing where the user gave a finished optimizer."""
    if trainer.optimizer is None:
        return {}
    return {Capability.LEARNING_RATES: WHOLE_OPTIMIZER}


def ends_update(trainer: Trainer) -> bool:
    """Tell whether the micro-batch at hand is the last one of its optimizer step."""
    accelerator: Any = trainer.accelerator
    return bool(accelerator.sync_gradients)


def whole_checkpoint(trainer: Any, wanted: str | bool | None) -> Path | None:
    """Return the checkpoint folder to resume from; True finds the last one that is whole.

    A checkpoint is whole where its files are those of its manifest, which is written last.

    Raises:
        ConfigError: There is no such checkpoint, or the named one is not whole.
    """
    if wanted is None or wanted is False:
        return None
    private = _private(trainer)
    if wanted is not True:
        found = whole_one(_where_it_is(trainer, wanted), private)
    else:
        root = Path(str(trainer.args.output_dir))
        say: Any = getattr(trainer, "_holdfast_say", lambda _: None)
        found = newest_whole(root, private, say) or newest_whole(_apart(trainer), private, say)
        if found is None:
            raise ConfigError(f"nothing to resume: no whole checkpoint in {root}")
    refuse_pickled_weights(found, str(found))
    return found


def loss_gives_logits(trainer: Trainer) -> bool:
    """Tell whether the trainer's loss can come with logits; ``SFTTrainer``'s fused head can't."""
    return not isinstance(trainer, SFTTrainer)


def outputs_with_logits(model: Any, inputs: dict[str, Any]) -> Any:
    """Return outputs with logits and their graph, by a forward of their own."""
    return model(**{k: v for k, v in inputs.items() if k != "labels"}, use_cache=False)
