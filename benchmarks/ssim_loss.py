"""Time our SSIM loss beside those of other libraries, and tell its share of the training step.

python benchmarks/ssim_loss.py [--peers DIR] [--out ssim_loss.json]

The peers are in the dependency group benchmarks, but for piqa, which asks for torchvision:

    pip install --no-deps --target DIR piqa==1.3.2

Forward and backward on batches of one-channel patches of 128 × 128 pixels with the window that all
have, a Gaussian of 11 pixels and sigma 1.5. Times are the least of many, taken in turns.
"""

import functools
import importlib
import sys
import types
from collections.abc import Callable
from pathlib import Path

import torch
from _common import fastest_in_turns, make_training_step, options, print_ratios, save

from sk_ssimae.losses import SSIMLoss

TOLERANCE = 1e-5
LOSS = SSIMLoss(11, "gaussian")

Similarity = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def main() -> None:
    """Compare values, then times, also with the training step that the loss is part of."""
    parser = options(__doc__)
    parser.add_argument("--peers", type=Path, help="folder with piqa")
    arguments = parser.parse_args()
    results: dict = {}
    for batch_size in (16, 32):
        patches, reconstruction = make_images(batch_size)
        similarities = {"sk_ssimae": ours, **peers(batch_size, arguments.peers)}
        for name, similarity in similarities.items():
            check_value(name, similarity, reconstruction, patches)
        contenders = {
            name: functools.partial(forward_and_backward, similarity, reconstruction, patches)
            for name, similarity in similarities.items()
        }
        seconds = fastest_in_turns({**contenders, "training": make_training_step(batch_size)})
        step_seconds = seconds.pop("training")
        print_ratios(f"{batch_size} patches, forward and backward", seconds, "sk_ssimae")
        share = seconds["sk_ssimae"] / step_seconds
        print(f"share of the training step of {1000 * step_seconds:.0f} ms: {share:.1%}\n")
        results[f"{batch_size} patches"] = {
            "seconds": seconds,
            "training_step_seconds": step_seconds,
            "share_of_training_step": share,
        }
    save(results, arguments)


def make_images(batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw patches and something like their reconstruction."""
    generator = torch.Generator().manual_seed(0)
    patches = torch.rand((batch_size, 1, 128, 128), generator=generator)
    noise = torch.randn(patches.shape, generator=generator)
    return patches, (patches + 0.1 * noise).clamp(0, 1).requires_grad_()


def forward_and_backward(
    similarity: Similarity, reconstruction: torch.Tensor, patches: torch.Tensor
) -> None:
    """Take the gradient that training takes."""
    reconstruction.grad = None
    (1 - similarity(reconstruction, patches)).backward()


def check_value(
    name: str, similarity: Similarity, reconstruction: torch.Tensor, patches: torch.Tensor
) -> None:
    """Refuse to time what computes something else."""
    with torch.no_grad():
        difference = float(similarity(reconstruction, patches) - ours(reconstruction, patches))
    if abs(difference) > TOLERANCE:
        raise ValueError(f"{name} differs by {difference:g} from sk_ssimae.")


def ours(reconstruction: torch.Tensor, patches: torch.Tensor) -> torch.Tensor:
    """Compute the mean similarity."""
    return 1 - LOSS(reconstruction, patches)


def peers(batch_size: int, folder: Path | None) -> dict[str, Similarity]:
    """Give the mean similarity of each library as a function of two batches."""
    import kornia.metrics
    import pytorch_msssim

    # What its users do to make it fast: the batch as channels of one image.
    folded = pytorch_msssim.SSIM(data_range=1.0, channel=batch_size)
    similarities = {
        "pytorch-msssim": pytorch_msssim.SSIM(data_range=1.0, channel=1),
        "pytorch-msssim, batch in channels": lambda x, y: folded(
            x.transpose(0, 1), y.transpose(0, 1)
        ),
        "kornia": lambda x, y: kornia.metrics.ssim(x, y, 11, padding="valid").mean(),
        "torchmetrics": torchmetrics_similarity,
    }
    if folder is not None:
        similarities["piqa"] = load_piqa(folder).SSIM(n_channels=1)
    return similarities


def torchmetrics_similarity(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Average torchmetrics' map where the window lies inside: by itself it takes the borders in."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    _, similarity = structural_similarity_index_measure(
        x, y, data_range=1.0, return_full_image=True
    )
    return similarity[..., 5:-5, 5:-5].mean()


def load_piqa(folder: Path) -> types.ModuleType:
    """Import piqa's SSIM alone: the rest of it asks for torchvision."""
    package = types.ModuleType("piqa")
    package.__path__ = [str(folder / "piqa")]
    sys.modules["piqa"] = package
    return importlib.import_module("piqa.ssim")


if __name__ == "__main__":
    main()
