"""Files of fitted segmenters that can be opened without trusting their source.

Everything is imported on first use, so that `OnnxSegmenter` needs no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
