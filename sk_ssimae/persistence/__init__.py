"""Files of fitted segmenters that can be opened without trusting whoever wrote them.

Everything is imported on first use, so that `OnnxSegmenter` needs no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sk_ssimae.persistence._onnx._export import export_onnx
    from sk_ssimae.persistence._onnx._parity import ParityReport, parity_report
    from sk_ssimae.persistence._onnx._segmenter import OnnxSegmenter
    from sk_ssimae.persistence._segmenter import load, save

__all__ = ["save", "load", "export_onnx", "OnnxSegmenter", "parity_report", "ParityReport"]

_MODULES = {
    "save": "_segmenter",
    "load": "_segmenter",
    "export_onnx": "_onnx._export",
    "OnnxSegmenter": "_onnx._segmenter",
    "parity_report": "_onnx._parity",
    "ParityReport": "_onnx._parity",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
