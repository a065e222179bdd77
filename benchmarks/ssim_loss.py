"""Time our SSIM loss against other libraries, and compute its share of the training step.

python benchmarks/ssim_loss.py [--peers DIR] [--out ssim_loss.json]

The peers are in the dependency group benchmarks, except piqa, which requires torchvision:

    pip install --no-deps --target DIR piqa==1.3.2

Forward and backward on batches of one-channel patches of 128 × 128 pixels, with the window that all
libraries offer: a Gaussian of 11 pixels and sigma 1.5. Each time is the shortest of many turns.
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
    """Compare values, then times, and the time of the whole training step."""
    parser = options(__doc__)
    parser.add_argument("--peers", type=Path, help="folder where piqa is installed")
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
    """Make random patches, and noisy copies as their reconstruction."""
    generator = torch.Generator().manual_seed(0)
    patches = torch.rand((batch_size, 1, 128, 128), generator=generator)
    noise = torch.randn(patches.shape, generator=generator)
    return patches, (patches + 0.1 * noise).clamp(0, 1).requires_grad_()


def forward_and_backward(
    similarity: Similarity, reconstruction: torch.Tensor, patches: torch.Tensor
) -> None:
    """Compute the loss and its gradient, as in training."""
    reconstruction.grad = None
    (1 - similarity(reconstruction, patches)).backward()


def check_value(
    name: str, similarity: Similarity, reconstruction: torch.Tensor, patches: torch.Tensor
) -> None:
    """Raise if a library computes another value than ours."""
    with torch.no_grad():
        difference = float(similarity(reconstruction, patches) - ours(reconstruction, patches))
    if abs(difference) > TOLERANCE:
        raise ValueError(f"{name} differs by {difference:g} from sk_ssimae.")


def ours(reconstruction: torch.Tensor, patches: torch.Tensor) -> torch.Tensor:
    """Compute the mean similarity with sk_ssimae."""
    return 1 - LOSS(reconstruction, patches)


def peers(batch_size: int, folder: Path | None) -> dict[str, Similarity]:
    """Return a function of two batches for each library: the mean similarity."""
    import kornia.metrics
    import pytorch_msssim

    # A common way to speed it up: pass the batch as channels of one image.
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
    """Average torchmetrics' map where the window fits: its own mean includes the borders."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    _, similarity = structural_similarity_index_measure(
        x, y, data_range=1.0, return_full_image=True
    )
    return similarity[..., 5:-5, 5:-5].mean()


def load_piqa(folder: Path) -> types.ModuleType:
    """Import only piqa's SSIM: the rest of piqa needs torchvision."""
    package = types.ModuleType("piqa")
    package.__path__ = [str(folder / "piqa")]
    sys.modules["piqa"] = package
    return importlib.import_module("piqa.ssim")


if __name__ == "__main__":
    main()
