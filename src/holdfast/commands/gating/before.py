"""Whether the answers that a change is measured from were asked and judged as those after it."""

from collections.abc import Mapping

from holdfast.errors import ConfigError
from holdfast.results.records import SeedRun

__all__ = ["refuse_unlike"]


def refuse_unlike(
    before: SeedRun, judge: str, decoding: Mapping[str, int | str], template: str = ""
) -> None:
    """Raise where a change would be one of judges, or of the length of answers, too.

    Args:
        before: The run that a change is measured from.
        judge: Who reads the answers after it.
        decoding: What they are decoded with, as far as it is known.
        template: Hash of what the judge was asked with, '' where it is not known yet.

    Raises:
        ConfigError: The two are not alike.
    """
    if before.judge != judge:
        raise ConfigError(
            f"`before` was judged by {before.judge or 'nobody'}, and these answers by {judge}: two "
            "judges differ where no model has changed; evaluate both models with the same `judge`"
        )
    if "" not in (before.template_hash, template) and before.template_hash != template:
        raise ConfigError(
            f"{judge} read the answers of `before` with the template {before.template_hash}, and "
            f"these with {template}: so it is two judges; evaluate both models with the same one"
        )
    for name in ("method", "max_new_tokens"):
        theirs, ours = before.decoding.get(name), decoding.get(name)
        if None not in (theirs, ours) and theirs != ours:
            raise ConfigError(
                f"`before` was answered with {name} {theirs}, and these questions with {ours}: "
                "evaluate both models alike"
            )
