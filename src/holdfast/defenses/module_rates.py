"""Learning rates by module: what ML-LR and SWAT (arXiv 2410.04524, v1 and v2) have in common.

Mods_Rob, the modules that can change without moving safety, learn at the trainer's own rate; a
method says what the rest (other projections, embeddings, norms, head) learns at, as a function of
the run's progress. Which modules are robust stands in a ``robust_modules.json``, or ``before``
finds it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from holdfast.analysis.modules.robust_modules import RobustModules
from holdfast.artifact import Artifact
from holdfast.defense import (
    Backward,
    Capability,
    Defense,
    Examples,
    Run,
    Shared,
    Step,
    Variant,
    implements,
    in_range,
    need_data,
)  # fmt: skip
from holdfast.defenses.frozen import frozen_but, trained_sizes
from holdfast.defenses.fused import as_trained, told_of
from holdfast.defenses.subsets import SUBSETS, At, Subset, chosen_modules
from holdfast.errors import ConfigError, InputError, ModelError
from holdfast.ops.bits import quantized_as
from holdfast.ops.modules import ModuleRef, parts
from holdfast.training.learning_rates import layers_by_role, named

__all__ = ["ModuleRates"]

FILE = "robust_modules.json"


@dataclass
class ModuleRates(Defense):
    """Base of the defenses that treat Mods_Rob and the rest differently; ``rate`` is the method."""

    modules: str | Path | None = None
    """A robust_modules.json from `holdfast analyze`; without it the analysis runs first."""
    harmful: Examples | None = None
    """Harmful prompts of the analysis, 20 or more; the answers are not used."""
    benign: Examples | None = None
    """Harmless prompts of the analysis, 20 or more; the answers are not used."""
    method: Literal["gradient", "noise"] = "gradient"
    """How the analysis scores modules: one backward pass, or noise on one at a time. Ours."""
    rho: float | None = None
    """Norm of the analysis' noise relative to a weight's; calibrated where not given. Ours."""
    tau: float = 0.1
    """Share of the damage of all modules together that Mods_Rob may do, in [0, 1]. Ours."""
    boost: float = 1.0
    """Learning rate of Mods_Rob over the trainer's, above 0; where few modules learn too slowly."""
    subset: Subset = "robust"
    """What is treated as robust; controls: as many at random, random ones of as many parameters
    (random_matched), as many of each role (roles), all attention, or what is outside Mods_Rob."""
    subset_seed: int = 0
    """Seed of a random subset, added to the run's."""
    moments: Literal["kept", "fresh"] = "kept"
    """While the rest is held: its gradients feed Adam and clipping, or it is frozen. Ours."""

    robust_: list[list[Any]] = field(default_factory=list[list[Any]], init=False)
    """The modules that are treated as robust: [layer, role] each."""
    found_: dict[str, Any] = field(default_factory=dict[str, Any], init=False)
    """The robust_modules.json that was given or found."""
    _members: frozenset[At] = field(default_factory=frozenset[At], init=False, repr=False)

    def rate(self, robust: bool, progress: float) -> float:
        """Return the method's multiplier of the learning rate, for Mods_Rob or for the rest."""
        raise NotImplementedError

    @property
    def _off(self) -> bool:
        return self.is_off and self.boost == 1

    def validate(self) -> None:
        """Check ranges, and that Mods_Rob is given or can be found, unless the strength is off.

        Raises:
            ConfigError: A field is out of range, the file is no list of robust modules, or neither
                a file nor both kinds of prompts are given.
        """
        name = self.card.name
        in_range(self, "tau", 0.0, 1.0)
        in_range(self, "subset_seed", 0)
        in_range(self, "boost", 1e-6)
        if self.rho is not None:
            in_range(self, "rho", 1e-6)
        choices = {
            "method": ("gradient", "noise"),
            "subset": SUBSETS,
            "moments": ("kept", "fresh"),
        }
        for key, allowed in choices.items():
            if getattr(self, key) not in allowed:
                raise ConfigError(
                    f"{name}: {key}={getattr(self, key)!r} must be one of {', '.join(allowed)}"
                )
        if not self._off:
            self._check_source()

    def _check_source(self) -> None:
        name = self.card.name
        if self.modules is not None:
            self._load()
        elif not self.harmful or not self.benign:
            raise ConfigError(
                f"{name} needs modules= (a robust_modules.json that `holdfast analyze` writes), "
                f"such as `defense={name}:modules=FILE`, or `harmful=FILE` and `benign=FILE` to "
                "find the robust modules itself"
            )

    def _load(self) -> RobustModules:
        try:
            return RobustModules.load(str(self.modules))
        except InputError as error:
            raise ConfigError(f"{self.card.name}: modules={self.modules}: {error}") from error

    def conflict(self, other: Defense) -> str | None:
        """Frozen modules get gradients all the same from another defense's own passes."""
        passes = implements(other, "gradient") and not isinstance(other, ModuleRates)
        if passes and implements(self, "gradient"):
            return (
                f"{self.card.name} freezes modules in a step, and {other.card.name}'s own passes "
                f"give them gradients; use {self.card.name} with moments=kept"
            )
        return super().conflict(other)

    def check_model(self, model: nn.Module) -> None:
        """Look for the parts by role: a resumed run reads them off the parameters' names.

        Raises:
            ModelError: They are not found, or Mods_Rob is to be found on weights in bits.
        """
        try:
            parts(model)
        except ModelError as error:
            raise ModelError(f"{self.card.name}: {error}") from error
        if self.modules is None and not self._off and (how := quantized_as(model)) is not None:
            raise ModelError(
                f"{self.card.name}: Mods_Rob is found by changing weights, and this model's are "
                f"quantized ({how}): run `holdfast analyze` on the model in full and give "
                "modules=FILE"
            )

    def needs(self) -> frozenset[Capability]:
        """Rates always; backward passes for the analysis; freezing where moments are fresh."""
        more: set[Capability] = set()
        if implements(self, "before") and self.modules is None:
            more.add(Capability.EXTRA_BACKWARD)
        if implements(self, "gradient"):
            more.add(Capability.FREEZES)
        return self.card.needs | more

    def instead(self, missing: Capability) -> str:
        """A rate of 0 holds weights on every engine, and a file needs no passes."""
        return {
            Capability.FREEZES: "moments=kept holds the same weights by a learning rate of 0",
            Capability.EXTRA_BACKWARD: "run `holdfast analyze` first and give modules=FILE",
        }.get(missing, "")

    def variant(self) -> Variant:
        """Another subset than Mods_Rob is a control, called by its name."""
        own = super().variant()
        return own if self.subset == "robust" else Variant(self.subset, control=True)

    def shared(self) -> Shared | None:
        """Mods_Rob by the default analysis: of the model and the prompts, the same at all seeds."""
        own_way = (self.method, self.rho) != ("gradient", None)
        if self._off or self.modules is not None or own_way:
            return None
        made_of = {"tau": self.tau}
        data = ("harmful", "benign")
        return Shared("robust_modules", made_of, self._learn, self._take, data, seeded=False)

    def _learn(self, run: Run, folder: Path) -> None:
        self._searched(replace(run, seed=0)).save(folder / FILE)

    def _take(self, folder: Path) -> Defense:
        return replace(self, modules=str(folder / FILE), harmful=None, benign=None)

    def idle(self) -> frozenset[str]:
        """Nothing to find at strength off; nothing to freeze unless moments are fresh."""
        if self._off:
            return frozenset({"before", "gradient", "after"})
        freezes = self.moments == "fresh" and self.rate(False, 0.0) == 0
        return frozenset() if freezes else frozenset({"gradient"})

    def before(self, run: Run) -> None:
        """Read Mods_Rob, or find it, and choose the modules that this run treats as robust.

        Raises:
            ModelError: The file was made for another model, or a projection is unknown.
            ConfigError: None of the chosen modules is trained in this run.
            DataError: The prompts cannot train a probe.
        """
        found = self._given(run) if self.modules is not None else self._searched(run)
        trained, name = trained_sizes(run.model), self.card.name
        try:
            draw = run.seed + self.subset_seed
            chosen = chosen_modules(as_trained(found.pairs, trained), trained, self.subset, draw)
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from error
        if not chosen:
            roles = ", ".join(sorted({role for _, role in trained})) or "none"
            raise ConfigError(
                f"{name}: subset={self.subset} is empty: {len(found.modules)} modules are robust "
                f"and the projections trained here are of the roles {roles}; train others "
                "(lora_targets), or analyze with another tau"
            )
        self.found_ = found.model_dump(mode="json")
        self.load({"robust_": [list(at) for at in chosen]})
        share = sum(trained[at] for at in chosen) / sum(trained.values())
        for line in told_of(run.model, found.pairs, trained):
            run.say(f"{name}: {line}")
        run.say(
            f"{name}: {len(chosen)} of {len(trained)} trained projections learn as robust "
            f"({self.subset}): {', '.join(_roles(chosen, trained))}; {100 * share:.0f} % of the "
            "projections' parameters"
        )

    def _given(self, run: Run) -> RobustModules:
        found = self._load()
        try:
            found.check(run.model)
        except ModelError as error:
            raise ModelError(f"{self.card.name}: modules={self.modules}: {error}") from error
        return found

    def _searched(self, run: Run) -> RobustModules:
        # Only for who analyzes: scikit-learn takes its time to import.
        from holdfast.analysis.pipeline import (  # noqa: PLC0415
            AnalysisSettings,
            find_robust_modules,
        )

        settings = AnalysisSettings(method=self.method, rho=self.rho, tau=self.tau, seed=run.seed)
        harmful, benign = need_data(self, "harmful"), need_data(self, "benign")
        return find_robust_modules(run, harmful, benign, settings)

    def load(self, state: Mapping[str, Any]) -> None:
        """Put the learned fields back."""
        super().load(state)
        self._members = frozenset((int(layer), str(role)) for layer, role in self.robust_)

    def learning_rate(self, module: ModuleRef, progress: float) -> float:
        """Return the method's ``rate`` for the module's group, times ``boost`` in Mods_Rob."""
        robust = (module.layer, module.role) in self._members
        return self.rate(robust, progress) * (self.boost if robust else 1.0)

    def gradient(self, step: Step, backward: Backward) -> Tensor:
        """Run the user's pass with the held modules frozen; outside it every flag is as it was."""
        if self.rate(False, step.number / max(1, step.total)) > 0:
            return backward()
        with frozen_but(step.model, self._members):
            return backward()

    def after(self, run: Run) -> Artifact:
        """Leave Mods_Rob as a file that another run can be given."""
        report = {"robust": self.robust_, "warnings": self.found_.get("warnings", [])}
        return Artifact(self.card.name, documents={"robust_modules": self.found_}, report=report)


def _roles(chosen: Collection[At], trained: Collection[At]) -> list[str]:
    def refs(modules: Collection[At]) -> dict[str, set[int]]:
        return layers_by_role(ModuleRef(layer, role, "") for layer, role in modules)

    return named(refs(chosen), refs(trained))
