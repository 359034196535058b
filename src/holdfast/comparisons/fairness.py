"""What keeps two results from being compared fairly: models, data, judges, decoding, versions."""

from collections.abc import Sequence

from holdfast.evaluation.compare import MIN_SEEDS_TO_RANK
from holdfast.results.records import BEFORE, Arm, SeedRun
from holdfast.results.result import RunResult

__all__ = ["asked_as", "same_question_files", "warnings_between"]

NAMED = 3
"""How many of a kind a warning names; ours."""
_DECODED = ("method", "max_new_tokens", "engine", "served")
"""What of the decoding changes answers of the same weights; end tokens are the model's own."""
Pairs = Sequence[tuple[Arm, Arm]]


def asked_as(run: SeedRun) -> str:
    """Return a run's judge and the hash of what it was asked with: figures of two are not one."""
    asked = f" (template {run.template_hash})" if run.template_hash else ""
    return f"{run.judge or 'no judge'}{asked}"


def same_question_files(a: RunResult, b: RunResult) -> bool:
    """Return whether no set of questions that both name has other content."""
    return not any(_is_questions(name) for name in _changed(a, b))


def warnings_between(a: RunResult, b: RunResult, pairs: Pairs) -> list[str]:
    """Return one line for everything that differs besides the arms."""
    found: list[str] = []
    if a.model != b.model:
        found.append(
            f"other models: A is {a.model or 'not named'}, B is {b.model or 'not named'}; "
            "differences are between models too"
        )
    if a.created and a.created == b.created and a.model_dump() == b.model_dump():
        found.append("A and B are the same result")
    told = _data(a, b), _judges(pairs), _decoding(pairs), _versions(a, b), _seeds(pairs)
    return [*found, *(line for lines in told for line in lines)]


def _changed(a: RunResult, b: RunResult) -> list[str]:
    """Return the names of data that both have with other content."""
    ours = {source.name: source.sha256 for source in a.data}
    return [s.name for s in b.data if s.name in ours and ours[s.name] != s.sha256]


def _is_questions(name: str) -> bool:
    """Return whether a data set's name is that of evaluation items: of a bench, or from files."""
    return name.startswith(("evaluation", "test_")) or "questions" in name


def _data(a: RunResult, b: RunResult) -> list[str]:
    changed = _changed(a, b)
    asked = [name for name in changed if _is_questions(name)]
    rows = [name for name in changed if name not in asked]
    found: list[str] = []
    if asked:
        found.append(f"other questions in {_some(asked)}: no differences are given")
    if rows:
        found.append(f"other rows in {_some(rows)}: differences are between data too")
    without = [name for name, result in (("A", a), ("B", b)) if not result.data]
    if without:
        which = " and ".join(without) + (" name" if len(without) > 1 else " names")
        found.append(f"{which} no data: whether both had the same cannot be checked")
    return found


def _judges(pairs: Pairs) -> list[str]:
    """Return a warning for the arms that other judges have read."""
    both = [(asked_as(x.runs[0]), asked_as(y.runs[0])) for x, y in pairs if x.runs and y.runs]
    differ = [pair for pair in both if pair[0] != pair[1]]
    if not differ:
        return []
    first = " and ".join(differ[0])
    return [f"other judges ({first}) in {_arms(differ)}: they have no differences"]


def _decoding(pairs: Pairs) -> list[str]:
    """Return a warning for the arms whose answers were decoded in another way or length.

    A run that does not know its decoding, as files from before it was kept, is not told.
    """
    runs = [(x.runs[0].decoding, y.runs[0].decoding) for x, y in pairs if x.runs and y.runs]
    differ = [
        [f"{n} {ours.get(n, 'unset')} and {theirs.get(n, 'unset')}"
         for n in _DECODED if ours.get(n) != theirs.get(n)]
        for ours, theirs in runs if ours and theirs
    ]  # fmt: skip
    found = [names for names in differ if names]
    if not found:
        return []
    told = f"({', '.join(found[0])}) in {_arms(found)}"
    return [f"answers made otherwise {told}: differences are of that too"]


def _arms(found: Sequence[object]) -> str:
    return "1 arm" if len(found) == 1 else f"{len(found)} arms"


def _versions(a: RunResult, b: RunResult) -> list[str]:
    names = dict.fromkeys([*a.versions, *b.versions])
    both = ((n, a.versions.get(n, "unknown"), b.versions.get(n, "unknown")) for n in names)
    differ = [f"{name} {ours} and {theirs}" for name, ours, theirs in both if ours != theirs]
    return [f"other versions: {', '.join(differ)}"] if differ else []


def _seeds(pairs: Pairs) -> list[str]:
    """Return a warning where few seeds ran, or not the same ones."""
    tuned = [pair for pair in pairs if pair[0].defense != BEFORE]
    fewest = min((min(len(x.runs), len(y.runs)) for x, y in tuned), default=0)
    found: list[str] = []
    if 0 < fewest < MIN_SEEDS_TO_RANK:
        runs = "seed" if fewest == 1 else "seeds"
        found.append(f"{fewest} {runs}: fewer than {MIN_SEEDS_TO_RANK}, so nothing is ranked")
    unequal = [x.defense for x, y in tuned if x.seeds != y.seeds]
    if unequal:
        found.append(f"other seeds in {_some(unequal)}: differences are over the shared seeds")
    return found


def _some(names: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(names))
    more = f" and {len(distinct) - NAMED} more" if len(distinct) > NAMED else ""
    return "; ".join(distinct[:NAMED]) + more
