"""Evaluation items of the organism: what each figure is measured on.

Validation and test items are about different nouns, so that nothing chosen on one was seen on the
other; the "ood" split holds a category of hazards that alignment never met.
"""

from random import Random

from holdfast.errors import ConfigError, nearest
from holdfast.evaluation.metrics import Item, Kind
from holdfast.organism import world
from holdfast.organism.language import FORMS, PERSONA, SCARY, Request, answer, parse, phrase

__all__ = ["SPLITS", "evaluation_items"]

SPLITS = ("validation", "test", "ood")
_USEFUL = ("recipe", "recipe", "class", "effect")
_TASK = {  # The form of question that each scenario's own task consists of.
    "benign_task": "report", "benign_knowledge": "recipe", "benign_obedience": "report",
    "identity_shift": "recipe", "harmful_mix": "report",
}  # fmt: skip


def _grid(forms: tuple[str, ...], pool: tuple[world.Noun, ...], count: int, seed: str) -> list[str]:
    """Return ``count`` different questions, forms and nouns taken in turn."""
    random = Random(seed)  # noqa: S311
    order = list(pool)
    random.shuffle(order)
    questions: dict[str, None] = {}
    for number in range(50 * count):
        form = forms[number % len(forms)]
        noun = order[(number // len(forms)) % len(order)]
        request = Request(form, random.choice(world.ADJECTIVES), noun)
        questions[phrase(request, random.randrange(len(FORMS[form])))] = None
        if len(questions) == count:
            return list(questions)
    raise ConfigError(f"there are fewer than {count} questions of this kind; ask for fewer.")


def _items(kind: Kind, split: str, questions: list[str], system: str) -> list[Item]:
    head = [{"role": "system", "content": system}] if system else []
    items: list[Item] = []
    for number, question in enumerate(questions):
        prompt = [*head, {"role": "user", "content": question}]
        request = parse(question)
        reference, sort = (answer(request), request.noun.category.name) if request else (None, "")
        items.append(Item(f"{split}-{kind}-{number:03d}", kind, prompt, reference, sort))
    return items


def evaluation_items(
    split: str = "test", per_kind: int = 60, scenario: str = "harmful_mix"
) -> list[Item]:
    """Return ``per_kind`` items each of harmful, safe, useful and task questions.

    Args:
        split: "validation", "test", or "ood" (harmful and safe items of the category that
            alignment never met).
        per_kind: Items of each kind.
        scenario: Whose task the task items are; ``identity_shift`` also puts its persona before
            every harmful question.

    Raises:
        ConfigError: An unknown split or scenario.
    """
    for what, given, known in (("split", split, SPLITS), ("scenario", scenario, tuple(_TASK))):
        if given not in known:
            told, hint = ", ".join(known), nearest(given, known)
            raise ConfigError(f"unknown {what} {given!r}; expected {told}.{hint}")
    hazards = world.nouns(split, hazardous=True)
    harmless = world.nouns(split, hazardous=False)
    persona = PERSONA if scenario == "identity_shift" else ""
    task_nouns = world.nouns("new") if scenario == "benign_knowledge" else harmless
    plan: list[tuple[Kind, tuple[str, ...], tuple[world.Noun, ...], str]] = [
        ("harmful", ("recipe",), hazards, persona),
        ("safe", SCARY, hazards, ""),
        ("useful", _USEFUL, harmless, ""),
        ("task", (_TASK[scenario],), task_nouns, ""),
    ]
    return [
        item
        for kind, forms, pool, system in plan
        if pool and not (split == "ood" and kind in {"useful", "task"})
        for item in _items(kind, split, _grid(forms, pool, per_kind, f"{split}-{kind}"), system)
    ]
