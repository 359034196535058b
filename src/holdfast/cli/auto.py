# ruff: noqa: PLC0415  # Heavy imports are made when the command runs: --help takes no second.
"""``holdfast tune --defense auto``: the defense is chosen by limits."""

import typer

from holdfast.cli.printed.choice import NOTHING_PASSED, tell_choice
from holdfast.cli.shell.console import say, working
from holdfast.cli.shell.options import Interrupted
from holdfast.inputs.configs import TuneConfig
from holdfast.inputs.options.choice_options import AUTO

__all__ = ["chosen_by_limits"]


def chosen_by_limits(config: TuneConfig, *, as_json: bool) -> bool:
    """Choose, certify and write the model where that is asked for; False where it is not."""
    if AUTO not in config.defense:
        return False
    from holdfast.bench.choosing.auto import handed_out, tune_auto

    work = config.output.with_name(f"{config.output.name}-choice")
    try:
        with working(as_json=as_json) as progress:
            found = tune_auto(config, 1, progress, say)
    except KeyboardInterrupt:
        raise Interrupted(f"what is done is kept in {work}; the same command goes on") from None
    tell_choice(found, work, as_json=as_json)
    if found.chosen is None:
        raise typer.Exit(NOTHING_PASSED)
    if handed_out(config):
        say(f"output: {config.output}")
    else:  # A folder of that name is an earlier run's.
        say(f"no model was tuned: none is needed, and nothing was written to {config.output}")
    return True
