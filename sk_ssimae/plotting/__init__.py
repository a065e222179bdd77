"""Pictures; they need the extra ``plot`` (matplotlib)."""

from sk_ssimae.plotting._residual_map import ResidualMapDisplay

__all__ = ["ResidualMapDisplay"]
