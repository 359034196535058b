"""LLaMA-Factory with defenses: ``python -m holdfast.integrations.llama_factory config.yaml``.

The file is LLaMA-Factory's own with a section ``holdfast:``; see ``Plan``. LLaMA-Factory has no
door for a trainer: its trainer class is exchanged for one that protects itself while a run of its
stage ``sft`` lasts. ``run_exp`` does the same from Python.
"""

import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from holdfast.errors import ConfigError, HoldfastError
from holdfast.inputs.yaml_files import mapping_in, text_of
from holdfast.integrations.optional import imported
from holdfast.integrations.plan import SECTION, Plan

__all__ = ["main", "protected", "run_exp"]

_WORKFLOW = "llamafactory.train.sft.workflow"
_TRAINER = "CustomSeq2SeqTrainer"


def run_exp(args: Mapping[str, Any], callbacks: list[Any] | None = None) -> None:
    """Run an experiment of LLaMA-Factory whose trainer has the defenses of its section.

    Args:
        args: What LLaMA-Factory's ``run_exp`` takes, with the section ``holdfast``.
        callbacks: Callbacks of transformers, as LLaMA-Factory takes them.

    Raises:
        ConfigError: The section is wrong, the stage is another one, or LLaMA-Factory is not
            installed.
        DataError: Data of the section cannot be read.
    """
    given = dict(args)
    plan = Plan.read(given.pop(SECTION, None))
    stage = given.get("stage", "sft")
    if stage != "sft":
        raise ConfigError(f"{SECTION}: protects the stage sft of LLaMA-Factory, and stage={stage}")
    if given.get("use_ray"):
        raise ConfigError(f"{SECTION}: protects a trainer of this process: leave use_ray out")
    tuner = imported("llamafactory.train.tuner", "llamafactory", SECTION)
    with protected(plan):
        tuner.run_exp(given, callbacks or [])


@contextmanager
def protected(plan: Plan) -> Generator[None]:
    """Let each trainer that LLaMA-Factory makes for sft in the body have the plan's defenses.

    Raises:
        ConfigError: LLaMA-Factory is not installed, or has no such trainer any more.
    """
    workflow: Any = imported(_WORKFLOW, "llamafactory", SECTION)
    own: Any = getattr(workflow, _TRAINER, None)
    if not isinstance(own, type):
        raise ConfigError(
            f"{SECTION}: this LLaMA-Factory has no {_WORKFLOW}.{_TRAINER}: take another version, "
            "or protect() a trainer of your own"
        )

    class Protected(own):  # type: ignore[misc, reportUntypedBaseClass]
        """The trainer, with the defenses as soon as it is made."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            plan.protect(self)

    setattr(workflow, _TRAINER, Protected)
    try:
        yield
    finally:
        setattr(workflow, _TRAINER, own)


def main(argv: list[str] | None = None) -> int:
    """Run ``config.yaml``; what is wrong with it is one line."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        if len(arguments) != 1:
            raise ConfigError("give one YAML file: the one that llamafactory-cli train takes")
        path = Path(arguments[0])
        run_exp(mapping_in(text_of(path, str(path)), str(path)))
    except HoldfastError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
