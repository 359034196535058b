"""How often one ``tune`` of the organism crosses from module to module before its first step.

Every call of a function of holdfast is counted whose nearest caller in holdfast stands in another
module, from the start of ``tune`` to the trainer's first ``training_step``; imports are left out.
Prints JSON: ``modules`` entered; ``calls`` between modules, and how many of these the organism
makes to write its rows (``of_rows``); ``edges``, different pairs of caller and called function,
which do not grow with the rows; ``from_tune``, edges that begin in the command's own module.

It runs on older layouts as well: ``PYTHONPATH=OLD/src python measurements/module_changes.py``.
"""

import json
import sys
import tempfile
from collections import Counter
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

LAYOUTS = (
    ("holdfast.commands.tune", "holdfast.inputs.configs"),
    ("holdfast.bench.tune", "holdfast.bench.configs"),
)
QUESTION = {"prompt": "what is the oven for", "completion": "baking"}


def _found() -> tuple[Any, Any]:
    """Return ``tune`` and ``TuneConfig`` of the layout at hand."""
    for command, configs in LAYOUTS:
        try:
            return import_module(command).tune, import_module(configs).TuneConfig
        except ModuleNotFoundError:
            continue
    raise SystemExit("no tune in this holdfast")


class Crossings:
    """Counts calls between modules of holdfast until the first step."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str, str, str]] = Counter()
        self.done = False

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """Take one event of ``sys.setprofile``."""
        if self.done or event != "call":
            return
        name, function = _place(frame)
        if not name or function == "<module>":
            return
        self.done = function == "training_step"
        caller = frame.f_back
        while caller is not None and not _place(caller)[0]:
            caller = caller.f_back
        above, calling = _place(caller) if caller is not None else ("", "")
        if above and above != name:
            self.calls[above, calling, name, function] += 1


def _place(frame: FrameType) -> tuple[str, str]:
    name = frame.f_globals.get("__name__", "")
    ours = name.startswith("holdfast")
    return (name, frame.f_code.co_name) if ours else ("", "")


def measure() -> dict[str, Any]:
    """Return the counts of one run with a repair at its end."""
    tune, config = _found()
    seen = Crossings()
    with tempfile.TemporaryDirectory() as folder:
        questions = Path(folder, "questions.jsonl")
        questions.write_text(json.dumps(QUESTION) + "\n")
        given = config(
            model="organism", data="organism", harmful="organism", limit=8, lora=True, max_steps=1,
            defense=["panacea"], test_task=str(questions), output=Path(folder, "out"),
        )  # fmt: skip
        sys.setprofile(seen)
        try:
            tune(given)
        finally:
            sys.setprofile(None)
    entered = Counter[str]()
    for (_, _, name, _), count in seen.calls.items():
        entered[name] += count
    return {
        "modules": len(entered),
        "calls": sum(seen.calls.values()),
        "of_rows": sum(n for (above, *_), n in seen.calls.items() if "organism" in above),
        "edges": len(seen.calls),
        "most": dict(entered.most_common(8)),
        "from_tune": sum(above.endswith(".tune") for above, *_ in seen.calls),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(), indent=1) + "\n")
