from ._onnx._export import export_onnx
from ._onnx._parity import ParityReport, parity_report
from ._onnx._segmenter import OnnxSegmenter
from ._segmenter import load, save

__all__ = ["save", "load", "export_onnx", "OnnxSegmenter", "parity_report", "ParityReport"]
