"""The page of the papers' claims: the verdicts on the organism, and beside them on a real model."""

from collections import Counter
from collections.abc import Mapping, Sequence

from real_tables import model_name

from holdfast.claims.judge import ClaimRow, JudgedPaper, claims_rows
from holdfast.claims.multiplicity import multiplicity
from holdfast.claims.verdicts import HOLDS, NOT, OPEN, PART
from holdfast.results.words import DASH

__all__ = ["claims_page", "claims_table", "counted", "disagreements"]

HEAD = ("paper", "claim", "reported", "on the organism", "why")
HEAD_OF_TWO = ("paper", "claim", "reported", "on the organism", "on the real model", "why")
YES = {HOLDS, PART}
ByClaim = Mapping[tuple[str, str], ClaimRow]
MARGINS = (
    "**Margins.** A task score is *not worse* if the interval's worse end is within the "
    "margin; where only the mean is, it is undecided and the claim holds in part. 100 "
    "questions that both sides answer alike still leave 4 points open, so a margin of 3 is "
    "undecided with them however equal the answers are."
)
FRESH = (
    "**Mods_Rob against other modules.** Seeds 0 to 4 did not tell Mods_Rob from as many "
    "modules at random, and ten more were run because of that. Pooled, the fifteen would call "
    "a difference where there is none in 9 % of cases and not in 5, so the ten stand alone "
    "(`results/benign_obedience_fresh_10_seeds.json`; recipe `controls`)."
)


def claims_page(judged: Sequence[JudgedPaper], real: Sequence[JudgedPaper] = ()) -> str:
    """Return the page of the papers' claims and their verdicts.

    Args:
        judged: On the organism.
        real: On a real model, where that has run.
    """
    rows, others = claims_rows(judged), claims_rows(real)
    title = "the organism and a real model show" if real else "the organism shows"
    parts = [
        f"# What papers claim, and what {title}",
        f"{len(rows)} claims, each with tests that stand in `src/holdfast/claims/papers/` and are "
        f"judged by intervals over seeds (`results/claims/`): {counted(rows)}. The tests were "
        "written down before their results were seen, but for those against matched controls of "
        "Mods_Rob, which came after a review had measured these on seeds 0 to 4; they are judged "
        "on other seeds. The organism shows how a method behaves, not what it scores on a language "
        "model; a paper's own figures are beside it, and most are of one seed.",
        *_on_real(real, rows, others),
        f"**How many tests were made.** {multiplicity(judged)}",
        MARGINS,
        FRESH,
        claims_table(rows, others),
    ]
    return "\n\n".join(parts) + "\n"


def claims_table(rows: Sequence[ClaimRow], real: Sequence[ClaimRow] = ()) -> str:
    """Return one row for each claim: what is said, what is reported, the verdicts and why."""
    head, others = HEAD_OF_TWO if real else HEAD, _by_claim(real)
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in rows:
        other = others.get((row["paper"], row["claim"]))
        verdicts = [f"**{row['verdict']}**"]
        verdicts += [f"**{other['verdict']}**" if other else DASH] if real else []
        cells = (row["paper"], row["statement"], row["reported"], *verdicts, _why(row, other))
        lines.append("| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |")
    return "\n".join(lines)


def counted(rows: Sequence[ClaimRow]) -> str:
    """Return how many claims have which verdict, in words."""
    found = Counter(str(row["verdict"]) for row in rows)
    return ", ".join(f"{count} {verdict}" for verdict, count in found.most_common())


def disagreements(
    rows: Sequence[ClaimRow], real: Sequence[ClaimRow]
) -> list[tuple[ClaimRow, ClaimRow]]:
    """Return the claims that hold, at least in part, on one side and do not on the other."""
    others = _by_claim(real)
    pairs = [(row, others.get((row["paper"], row["claim"]))) for row in rows]
    both = [(row, other) for row, other in pairs if other is not None]
    return [
        (row, other)
        for row, other in both
        if (row["verdict"] in YES and other["verdict"] == NOT)
        or (row["verdict"] == NOT and other["verdict"] in YES)
    ]


def _on_real(
    real: Sequence[JudgedPaper], rows: Sequence[ClaimRow], others: Sequence[ClaimRow]
) -> list[str]:
    """Return what is said of the second column, and where the two disagree."""
    if not real:
        return []
    judged = [row for row in others if row["verdict"] != OPEN]
    model = model_name(str(real[0].measured_on["model"]))
    said = (
        f"**On a real model** ({model}; `results/real/claims/`): {counted(others)}. Where its "
        "bench has no such arms, or plain tuning does too little harm there, a claim is not "
        "comparable. An arm is told there by its method, at settings chosen on validation "
        "prompts; which arms and tests count (`real:` in each paper's file) was committed before "
        "any result of the real model was seen. One model, one aligned base, a learned judge: "
        f"seeds differ in data order, draws and initialization. {multiplicity(real)}"
    )
    if not judged:
        return [said]
    apart = disagreements(rows, others)
    head = (
        f"**Where the two disagree.** Of {len(judged)} claims that could be judged on the real "
        f"model, {len(apart)} hold, at least in part, on one side and do not on the other"
    )
    lines = [_apart(row, other) for row, other in apart]
    return [said, head + (":\n\n" + "\n".join(lines) if lines else ".")]


def _apart(row: ClaimRow, other: ClaimRow) -> str:
    return (
        f"- *{row['paper']}*: {row['statement']} Organism: **{row['verdict']}**; real model: "
        f"**{other['verdict']}**. {other['reason']}"
    )


def _why(row: ClaimRow, other: ClaimRow | None) -> str:
    return row["reason"] if other is None else f"{row['reason']} *Real model:* {other['reason']}"


def _by_claim(rows: Sequence[ClaimRow]) -> ByClaim:
    return {(row["paper"], row["claim"]): row for row in rows}
