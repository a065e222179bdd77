"""Features of a network in an ONNX file, computed by ONNX Runtime on the CPU."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sk_ssimae._extras import install_hint


class OnnxFeatures(nn.Module):
    """A network in an ONNX file, whose tensors can be read by name.

    The content of the file is a buffer, so that pickles contain it and checksums cover it. The
    session is made on first use.

    Parameters
    ----------
    content : bytes
        Content of the file: a graph with one input (N, C, H, W), floats.
    """

    content: Tensor

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.register_buffer("content", torch.frombuffer(bytearray(content), dtype=torch.uint8))
        graph = _parse(content).graph
        self.input_name = _only_input(graph)
        #: Names of all tensors that can be read, in the order of computation.
        self.tensor_names = [name for node in graph.node for name in node.output if name]
        self.output_name = graph.output[0].name
        self._sessions: dict[tuple[str, ...], Any] = {}

    @classmethod
    def read(cls, path: Path) -> "OnnxFeatures":
        """Read a file.

        Raises
        ------
        ImportError
            If the extra ``onnx`` is not installed.
        FileNotFoundError, ValueError
            If there is no such file, or it contains no network with one input.
        """
        if not path.is_file():
            raise FileNotFoundError(
                "feature_extractor must name an existing ONNX file: there is no file "
                f"{str(path)!r}."
            )
        _import("onnxruntime")  # Else it would be missed only after images were read.
        try:
            return cls(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"feature_extractor: {str(path)!r} {error}") from error

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the first output of the graph."""
        return self.read_tensors(pixels, [self.output_name])[0]

    def read_tensors(self, pixels: Tensor, names: Sequence[str]) -> list[Tensor]:
        """Compute the tensors of these names for images (N, C, H, W).

        Grey images are repeated if the graph takes three channels.

        Raises
        ------
        ValueError
            If the graph cannot process images of that shape; the message says why.
        """
        session = self._session(tuple(names))
        expected = session.get_inputs()[0].shape
        if len(expected) == 4 and expected[1] == 3 and pixels.shape[1] == 1:
            pixels = pixels.expand(-1, 3, -1, -1)
        values = np.ascontiguousarray(pixels.cpu().numpy(), dtype=np.float32)
        try:
            results = session.run(list(names), {self.input_name: values})
        except Exception as error:  # ONNX Runtime has classes of its own, without a common base.
            raise ValueError(
                f"feature_extractor cannot process images {tuple(values.shape)}; its input is "
                f"{expected}. Export it with dynamic sizes, or set subregions to its size, or "
                f"image_size to its size and padding=0. ({error!s:.200})"
            ) from error
        # Copies: arrays of ONNX Runtime may be read-only.
        return [torch.tensor(result, device=pixels.device) for result in results]

    def _session(self, names: tuple[str, ...]) -> Any:
        if names not in self._sessions:
            onnx, onnxruntime = _import("onnx"), _import("onnxruntime")
            model = _parse(self.content.cpu().numpy().tobytes())
            outputs = [onnx.helper.make_empty_tensor_value_info(name) for name in names]
            del model.graph.output[:]
            model.graph.output.extend(outputs)
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4  # Errors are raised anyway.
            options.intra_op_num_threads = torch.get_num_threads()
            self._sessions[names] = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        return self._sessions[names]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_sessions": {}}  # Sessions cannot be pickled.


def _parse(content: bytes) -> Any:
    onnx = _import("onnx")
    try:
        model = onnx.load_from_string(content)
        onnx.checker.check_model(model)
    except Exception as error:  # Damaged files make onnx and Protocol Buffers raise many kinds.
        raise ValueError(f"is not an ONNX file ({error!s:.200}). Export it again.") from error
    return model


def _only_input(graph: Any) -> str:
    # Older files list weights among the inputs.
    weights = {tensor.name for tensor in graph.initializer}
    names = [entry.name for entry in graph.input if entry.name not in weights]
    if len(names) != 1 or not graph.output:
        raise ValueError(
            f"must have one input, of images (N, C, H, W), and an output, got the inputs {names}."
        )
    return str(names[0])


def _import(package: str) -> Any:
    try:
        if package == "onnx":
            import onnx

            return onnx
        import onnxruntime

        return onnxruntime
    except ImportError as error:
        raise ImportError(
            f"feature_extractor in an ONNX file needs {package}. {install_hint('onnx')}"
        ) from error
