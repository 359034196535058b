# ruff: noqa: PLC0415  # Heavy imports are made when the command runs: --help takes no second.
"""``holdfast bench``: a recipe of attacks, defenses and seeds, run cell by cell."""

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.printed.bench import tell_bench, tell_cells, tell_failed
from holdfast.cli.shell.console import say, working
from holdfast.cli.shell.options import Interrupted, JsonFlag

__all__ = ["bench"]

_ExecutorName = Annotated[
    str,
    typer.Option(
        help="Where cells run: local, or ray (tasks of the cluster at RAY_ADDRESS or started "
        "here; needs holdfast[ray] on every node, and --out in a folder that all nodes see)."
    ),
]


def bench(
    recipe: Annotated[str, typer.Argument(help="YAML file, or a packaged recipe such as quick.")],
    out: Annotated[
        Path, typer.Option(help="Folder of the cells, table, result and report; goes on there.")
    ],
    workers: Annotated[int, typer.Option(help="Cells at a time, one thread or CPU each.")] = 2,
    executor: _ExecutorName = "local",
    cpus_per_cell: Annotated[
        float, typer.Option(help="ray: CPUs set aside for a cell, which computes with one thread.")
    ] = 1,
    gpus_per_cell: Annotated[
        float, typer.Option(help="ray: share of one GPU set aside for a cell, up to 1; 0: none.")
    ] = 0,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Words of a cell's line in the dry run, or its key; may be repeated."),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Begin no cell after so long.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the cells and stop.")] = False,
    json: JsonFlag = False,
) -> None:
    """Run a recipe's cells on the organism or the recipe's model; started again, it goes on."""
    from holdfast.bench.bench import check_folder, plan, run_bench
    from holdfast.bench.choice import Choice
    from holdfast.bench.dry_run import outlook
    from holdfast.bench.pool.place import Place
    from holdfast.bench.recipe.estimate import estimated_minutes, told

    place = Place(executor, cpus_per_cell, gpus_per_cell)
    place.check(workers)
    with working(as_json=json):
        planned = plan(recipe)
        check_folder(planned, out, dry_run=dry_run)
        choice = Choice(tuple(only or ()), minutes)
        chosen = choice.of(planned.cells)
    about, count = estimated_minutes(chosen, workers), len(chosen)
    say(f"{count} cells, {told(about, workers)}")
    if dry_run:
        tell_cells(outlook(planned, out, choice), about, as_json=json)
        return
    try:
        with working(as_json=json) as progress:
            result, outcome = run_bench(planned, out, workers, progress, place=place, choice=choice)
    except KeyboardInterrupt:
        raise Interrupted(f"done cells are kept in {out}; the same command goes on") from None
    tell_bench(result, outcome, out, as_json=json)
    tell_failed(planned.cells, outcome.failed, count, out)
