"""Safe Delta: of a tuned change what safety inputs can bear is kept, the rest compensates."""

from holdfast.defenses.safe_delta.apply import apply_safe_delta
from holdfast.defenses.safe_delta.equations import Kept, damped, keep_within
from holdfast.defenses.safe_delta.safe_delta import SafeDelta

__all__ = ["Kept", "SafeDelta", "apply_safe_delta", "damped", "keep_within"]
