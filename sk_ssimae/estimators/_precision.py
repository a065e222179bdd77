"""The number format of training: which one a machine computes fastest in."""

from typing import Any, Literal, get_args

import torch

Precision = Literal["float32", "bf16", "fp16"]

DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PRECISIONS = get_args(Precision)
#: The precisions that "auto" chooses between.
AUTOMATIC = ("float32", "bf16")
# With either, oneDNN computes products of bfloat16 faster than those of float32. ARM's "bf16" is
# left out: it was not measured.
_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


def resolve_precision(precision: Precision | Literal["auto"], device: torch.device) -> Precision:
    """Choose the precision: "auto" is "bf16" where the device has instructions for it.

    On a CPU these are AVX-512 BF16 or AMX, as torch reports them; torch before
    ``torch.cpu.get_capabilities`` reports none. On a GPU they are tensor cores that compute in
    bfloat16. The instructions decide, not a measurement: a machine always chooses alike.

    Parameters
    ----------
    precision : {"auto", "float32", "bf16", "fp16"}
        Checked parameter of a segmenter.
    device : torch.device
        Where to train.

    Returns
    -------
    {"float32", "bf16", "fp16"}
        The choice.
    """
    if precision != "auto":
        return precision
    return "bf16" if _is_bf16_fast(device) else "float32"


def _is_bf16_fast(device: torch.device) -> bool:
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    report: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(report.get(name, False) for name in _INSTRUCTIONS)
