"""The generated parts of ``docs/real_bench.md``, and what README and other pages say of it."""

from collections.abc import Mapping
from pathlib import Path

from real_cost import cost_table
from real_sources import alignment_table, analysis_table, settings_table
from real_tables import (
    SEEDS,
    attacks_table,
    beside,
    caveat,
    figures_table,
    judges_table,
    model_name,
    question_table,
    question_words,
    ranked,
    with_seeds,
)
from tables import controls_table

from holdfast.results.attacks import attack_text
from holdfast.results.result import RunResult

__all__ = [
    "SECOND", "card_part", "column", "evidence", "page_parts", "readme_part", "real_result",
    "which_part",
]  # fmt: skip

NOT_YET = "*Not measured with five seeds yet; [what is there](real_bench.md).*"
PICTURE = Path(__file__).resolve().parent / "images" / "real.png"
AGAIN = "The same model aligned anew"
SECOND = "second_alignment"
"""The folder of its bench."""
Parts = Mapping[str, str]


def real_result(folder: Path) -> RunResult | None:
    """Return the published bench of the real model, None where there is none yet."""
    path = folder / "result.json"
    return RunResult.load(path) if path.exists() else None


def evidence(folder: Path) -> RunResult | None:
    """Return what of the real model's bench has seeds enough to be told on other pages."""
    result = real_result(folder)
    return with_seeds(result) if result is not None else None


def page_parts(folder: Path) -> Parts:
    """Return the parts of the page by their markers; '' where a source is not there."""
    result = real_result(folder)
    beside_it = {
        "alignment": alignment_table(folder / "align.json"),
        "settings": settings_table(folder / "settings.json"),
        "analysis": analysis_table(folder / "analysis.json", PICTURE),
        "controls": _controls(folder),
        "cost": cost_table(folder.parent / "step_cost_real.json"),
    }
    if result is None:
        empty = dict.fromkeys(("figures", "attacks", "judges", "others"), "")
        return {"question": NOT_YET, **empty, **beside_it}
    return {
        "question": "\n\n".join(
            [*_few(result), caveat(result), question_words(result), question_table(result)]
        ),
        "figures": figures_table(result),
        "attacks": attacks_table(result),
        "judges": judges_table(result),
        "others": _others(folder),
        **beside_it,
    }


def _few(result: RunResult) -> list[str]:
    """Return the sentence that stands first where arms have too few seeds."""
    told = with_seeds(result)
    if told is not None and len(told.arms) == len(result.arms):
        return []
    which = "arms" if told is None else "arms whose name tells their seeds"
    return [
        f"**A first look, not evidence:** {which} have fewer than {SEEDS} seeds so far; they rank "
        "nothing, and no other page tells their figures."
    ]


def column(result: RunResult | None, title: str) -> tuple[str, Mapping[str, str]]:
    """Return the column of harmful scores under the hardest attack beside the organism's table."""
    return ("", {}) if result is None else (f"{title} {model_name(result.model)}", beside(result))


def readme_part(result: RunResult | None, docs: str, again: RunResult | None = None) -> str:
    """Return the table of the real model for the README; '' where it has not run.

    ``again`` is what ran on another alignment of the same model.
    """
    if result is None or result.bench is None or result.bench.hardest is None:
        return ""
    where = attack_text(result.bench.hardest.attack)
    more = f"\n\n**{AGAIN}**\n\n{figures_table(again)}" if again is not None else ""
    return (
        f"**A real chat model: {model_name(result.model)}**, {where}\n\n{figures_table(result)} "
        f"{caveat(result)}{more} [Which methods answer it, and how it was measured]({docs})."
    )


def card_part(result: RunResult | None, name: str, again: RunResult | None = None) -> str:
    """Return a defense's arms on the real model for its card; '' where it did not run."""
    ran = [one for one in (result, again) if one is not None and _has(one, name)]
    titles = [
        AGAIN if one is again else f"A real chat model: {model_name(one.model)}" for one in ran
    ]
    return "\n\n".join(
        f"**{title}**\n\n{figures_table(one, name)} {caveat(one)}"
        for title, one in zip(titles, ran, strict=True)
    )


def _has(result: RunResult, name: str) -> bool:
    return any(name in arm.defenses for arm in ranked(result))


def which_part(result: RunResult | None, again: RunResult | None = None) -> str:
    """Return who answered on the real model, in words."""
    if result is None:
        return NOT_YET
    more = f"\n\n{AGAIN}. {question_words(again)}" if again is not None else ""
    return f"On {model_name(result.model)}. {caveat(result)}\n\n{question_words(result)}{more}"


def _others(folder: Path) -> str:
    """Return the question and the figures of the folder's further benches, as of another task."""
    places = sorted(path for path in folder.glob("*/result.json") if "robust" not in path.parts[-2])
    found = [(path, RunResult.load(path)) for path in places]
    return "\n\n".join(
        f"**{path.parent.name}** (`results/real/{path.parent.name}/`)\n\n"
        f"{question_words(result)}\n\n{question_table(result)}\n\n{figures_table(result)}"
        for path, result in found
        if result.bench is not None and result.bench.hardest is not None
    )


def _controls(folder: Path) -> str:
    """Return differences to controls in each result of the folder that holds any."""
    places = [folder / "result.json", *sorted(folder.glob("*robust*/result.json"))]
    places += sorted(folder.glob("*robust*.json"))
    found = [(path, RunResult.load(path)) for path in places if path.exists()]
    return "\n\n".join(
        controls_table(result, f"{folder.name}/{path.relative_to(folder)}")
        for path, result in found
        if result.config.get("comparisons")
    )
