"""Where a trainer keeps what is a jailbreak, and what of its output must lie there as well."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, HubStrategy

from holdfast.defense import Capability, Defense, implements
from holdfast.errors import ConfigError
from holdfast.files.nesting import refuse_inside, refuse_nested
from holdfast.files.private import close_folder
from holdfast.files.sealing.checkpoints import drop_apart, told_apart
from holdfast.training.serving.learned_state import STATE_FOLDER

__all__ = ["artifacts_folder", "refuse_early_uploads", "set_unrepaired_apart"]

_APART = "checkpoints"


def artifacts_folder(trainer: Any, given: str | Path | None) -> Path:
    """Return the folder of private state: ``given``, or the output folder's name with -artifacts.

    Raises:
        ConfigError: It is, holds or lies in the output folder, or lies in a model's folder.
    """
    output = Path(str(trainer.args.output_dir)).absolute()
    folder = Path(given or output.with_name(output.name + "-artifacts"))
    said = f"`artifacts_dir={folder}`"
    why = "the trainer's output_dir, which may be uploaded, and private state is a jailbreak"
    refuse_nested(folder, output, said, why)
    if given is not None or trainer.args.save_strategy != "no":
        name = getattr(getattr(trainer.model, "config", None), "_name_or_path", "")
        refuse_inside(folder, [Path(name)] if name else [], said)
    return folder


def refuse_early_uploads(trainer: Any, defenses: Sequence[Defense]) -> None:
    """Raise ``ConfigError`` where checkpoints are uploaded before a defense repairs the model."""
    args = trainer.args
    if not args.push_to_hub or args.hub_strategy == HubStrategy.END or args.save_strategy == "no":
        return
    for defense in defenses:
        if implements(defense, "after") and Capability.EDITS_WEIGHTS in defense.needs():
            raise ConfigError(
                f"`hub_strategy={args.hub_strategy.value}` uploads checkpoints while training, and "
                f"{defense.card.name} repairs the model at the end: what was uploaded is not "
                "repaired; set hub_strategy='end' and call trainer.push_to_hub() after train()"
            )


def set_unrepaired_apart(trainer: Any, held: Any) -> None:
    """Move the checkpoints of a run that was repaired at its end to the folder of artifacts.

    They hold the model as it was before: the repaired model less one of them is the very step that
    the repair took, which its artifact keeps private. Nobody has to save the model by the trainer,
    so they move as soon as it is repaired; ``checkpoint_named`` finds them there.
    """
    if not held.sets_apart:
        return
    private = {artifact.name for artifact in held.artifacts if artifact.private}
    names = [
        defense.card.name
        for defense in held.defenses
        if defense.card.name in private and Capability.EDITS_WEIGHTS in defense.needs()
    ]
    found = [
        folder
        for folder in Path(str(trainer.args.output_dir)).glob(f"{PREFIX_CHECKPOINT_DIR}-*")
        if any((folder / STATE_FOLDER / f"{name}.json").exists() for name in names)
    ]
    if not found:
        return
    apart = held.artifacts_dir / _APART
    trainer.accelerator.wait_for_everyone()  # Each process has found them by now.
    if trainer.is_world_process_zero():
        _move(found, apart)
    trainer.accelerator.wait_for_everyone()
    best = trainer.state.best_model_checkpoint
    if best is not None and not Path(best).exists():
        trainer.state.best_model_checkpoint = str(apart / Path(best).name)
    trainer._holdfast_say(
        f"{', '.join(names)}: the checkpoints, which are not repaired, are now in {apart}"
    )


def _move(found: Sequence[Path], apart: Path) -> None:
    """Move checkpoints; one of the same step that lies there goes, with what it kept apart."""
    roots = (apart, found[0].parent)
    before = told_apart(*roots)
    for folder in found:
        close_folder(apart)
        shutil.rmtree(apart / folder.name, ignore_errors=True)
        shutil.move(folder, apart / folder.name)
    drop_apart(apart.with_name("state"), before, *roots)
