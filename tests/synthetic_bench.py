"""A made-up bench: defenses under nine attacks of one scenario, a benign one, strength sweeps."""

from collections.abc import Mapping
from functools import cache

from holdfast.comparisons.worst_case import summarize
from holdfast.results.records import Arm, Attack, SeedRun
from holdfast.results.result import RunResult
from tests.synthetic_result import measurement

BASE = {"p": 0.1, "learning_rate": 2.3e-4, "steps": 120, "epochs": 120 / 63, "rows": 500}
KNOBS = (
    {},
    {"p": 0.0},
    {"p": 0.05},
    {"p": 0.2},
    {"p": 0.3},
    {"learning_rate": 1.15e-4},
    {"learning_rate": 4.6e-4},
    {"steps": 60, "epochs": 60 / 63},
    {"steps": 240, "epochs": 240 / 63},
)
# defense: (harmful score and over-refusal as shares of plain's and of one, task, seconds, control)
DEFENSES: Mapping[str, tuple[float, float, float, float, bool]] = {
    "none": (1.0, 0.01, 0.94, 10.0, False),
    "safe_mixing": (0.7, 0.08, 0.92, 11.0, False),
    "random_perturbation": (0.95, 0.01, 0.92, 10.1, True),
    "security_vectors": (0.15, 0.03, 0.92, 14.0, False),
    "panacea": (0.35, 0.05, 0.9, 10.5, False),
    "swat": (0.9, 0.0, 0.94, 9.8, False),
    "swat(random)": (0.97, 0.0, 0.94, 9.8, True),
}
FAMILIES = {
    "panacea(batch_size=25)": (0.1, 0.25, 0.5, 1.0, 2.0),
    "random_perturbation": (1.0, 8.0, 16.0, 24.0),
}


def strength_of(attack: Attack) -> float:
    """Plain fine-tuning's harmful score under an attack: it grows with every knob."""
    knobs = attack.p**0.5 * (attack.learning_rate / 2.3e-4) ** 0.4 * (attack.steps / 120) ** 0.3
    return min(0.95, 1.8 * knobs)


def run(name: str, seed: int, attack: Attack, share: float, over: float, task: float, n: int,
        seconds: float) -> SeedRun:  # fmt: skip
    """One made-up run; seeds differ by a few points."""
    hs = max(0.0, min(1.0, strength_of(attack) * share + 0.03 * (seed - 2)))
    rates = {name: (0.7 * hs, 0.3 * hs, over, task, 0.97, seconds)}
    salt = f"{attack.scenario}{attack.p}{attack.learning_rate}{attack.steps}"
    return SeedRun.of(
        seed,
        measurement(name, seed, n, arms=rates, salt=salt),
        seconds=seconds * attack.steps / 120 + 0.1 * seed,
        peak_memory_gib=0.4 + 0.01 * seconds,
        trace=[] if name == "none" else [trace_of(name)],
    )


def trace_of(name: str) -> dict[str, object]:
    """What the trace says of an arm's only defense."""
    return {"defense": name.partition("(")[0], "hook": "before", "calls": 1, "seconds": 0.5}


def scenario_of(attack: Attack) -> str:
    """The arm's scenario as the bench names it, with the knobs off its budget."""
    knobs = [f"{k}={getattr(attack, k):g}" for k in ("learning_rate", "steps")
             if getattr(attack, k) != BASE[k]]  # fmt: skip
    return ", ".join([attack.scenario, *knobs])


def arm(name: str, attack: Attack, rates: tuple[float, float, float, float, bool], seeds: int,
        n: int, **rest) -> Arm:  # fmt: skip
    share, over, task, seconds, control = rates
    runs = [run(name, seed, attack, share, over, task, n, seconds) for seed in range(seeds)]
    return Arm.of(
        name, runs, scenario=scenario_of(attack), p=attack.p, attack=attack, control=control,
        settings={} if name == "none" else {name: {"rho": 0.4}}, **rest,
    )  # fmt: skip


def strengths(attack: Attack, seeds: int, n: int) -> list[Arm]:
    """Families of arms under one attack: more strength, less harm and less accuracy."""
    found: list[Arm] = []
    for family, values in FAMILIES.items():
        control = family == "random_perturbation"
        for value in values:
            x = value / max(values)
            rates = (1 - (0.55 if control else 0.9) * x**0.5, 0.04, 0.94 - 0.14 * x, 10.2, control)
            name = f"{family.partition('(')[0]}(rho={value:g})"
            found.append(arm(name, attack, rates, seeds, n, family=family, strength=value))
    return found


def arms(seeds: int = 5, n: int = 40, copies: int = 1) -> list[Arm]:
    """Every arm of the bench; ``copies`` repeats the defenses under other names."""
    attacks = [Attack(scenario="harmful_mix", **{**BASE, **knobs}) for knobs in KNOBS]
    benign = Attack(scenario="benign_obedience", **{**BASE, "p": 0.0})
    before = {"before": (0.0, 0.02, 0.02, 0.1, 0.99, None)}
    found = [
        Arm.of("before", [SeedRun.of(0, measurement("before", 0, n, arms=before))],
               scenario=name, control=False)
        for name in ("harmful_mix", "benign_obedience")
    ]  # fmt: skip
    defenses = {
        f"{name}{f'(tau={copy})' if copy else ''}": rates
        for copy in range(copies)
        for name, rates in DEFENSES.items()
        if not copy or name != "none"
    }
    for attack in attacks:
        found += [arm(name, attack, rates, seeds, n) for name, rates in defenses.items()]
    milder = benign.model_copy(update={"p": 0.06})
    for name, rates in defenses.items():
        made = arm(name, milder, rates, seeds, n)
        found.append(made.model_copy(update={"attack": benign, "p": 0.0}))
    return found + strengths(attacks[3], seeds, n)


@cache
def synthetic_bench(seeds: int = 5, n: int = 40, copies: int = 1) -> RunResult:
    """The whole result with its summary."""
    made = arms(seeds, n, copies)
    return RunResult.of(
        "bench", made, model="organism", real_model=False, config={"seeds": seeds},
        seconds=5400.0, bench=summarize(made),
    )  # fmt: skip
