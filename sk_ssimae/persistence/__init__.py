"""Files of fitted segmenters that can be opened without trusting whoever wrote them."""

from sk_ssimae.persistence._segmenter import load, save

__all__ = ["save", "load"]
