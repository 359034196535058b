# ruff: noqa: PLC0415  # Heavy imports are made when the command runs: --help takes no second.
"""``holdfast choose``: the defense that holds your limits, certified on prompts set apart."""

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.printed.choice import NOTHING_PASSED, print_plan, tell_choice
from holdfast.cli.shell.console import say, working
from holdfast.cli.shell.options import Interrupted, JsonFlag

__all__ = ["choose"]


def choose(
    recipe: Annotated[
        str, typer.Argument(help="YAML file of a bench with one attack, or a packaged recipe.")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of choose.json, choose.log and model; goes on there.")
    ],
    require: Annotated[
        list[str] | None,
        typer.Option(help="A limit, such as 'hs<=.05' or 'task_drop<=.02'; repeat for several."),
    ] = None,
    confidence: Annotated[
        float, typer.Option(help="How sure the claim has to be, above 0 and below 1.")
    ] = 0.95,
    budget: Annotated[
        float, typer.Option(help="Most training that the search may take, in plain runs.")
    ] = 20,
    attacks: Annotated[
        str, typer.Option(help="Attacks that harm is limited under: gate, or names with commas.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Of the division of the prompts.")] = 0,
    workers: Annotated[int, typer.Option(help="Cells at a time, one thread or CPU each.")] = 2,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    json: JsonFlag = False,
) -> None:
    """Search a recipe's defenses, and certify one under limits on prompts that chose nothing."""
    from holdfast.bench.choosing.attacking import attacks_of
    from holdfast.bench.choosing.candidates import field_of
    from holdfast.bench.choosing.choose import choose as run
    from holdfast.bench.choosing.prepared import prepared_choice
    from holdfast.bench.choosing.searching.search import Rules
    from holdfast.bench.pool.place import Place
    from holdfast.evaluation.limits import parse_requirements

    rules = Rules(parse_requirements(require or []), confidence, budget, seed, attacks_of(attacks))
    Place().check(workers)
    with working(as_json=json):
        given = prepared_choice(field_of(recipe), rules)
    if dry_run:
        print_plan(given, as_json=json)
        return
    try:
        with working(as_json=json) as progress:
            found = run(given, out, workers, progress, say)
    except KeyboardInterrupt:
        raise Interrupted(f"what is done is kept in {out}; the same command goes on") from None
    tell_choice(found, out, as_json=json)
    if found.chosen is None:
        raise typer.Exit(NOTHING_PASSED)
