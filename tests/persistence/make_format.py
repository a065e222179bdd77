"""Write data/*.gz, files of the newest format, and print what test_formats.py expects of them.

Run once for a format, by the first version of the package that writes it:

    python tests/persistence/make_format.py

A network of the publication has at least 638,849 weights, 2.5 MB. So that the files take a few
kilobytes, trained weights are replaced by short repeating patterns of the same magnitude.
"""

import gzip
import tempfile
from pathlib import Path

import numpy as np
import torch

import sk_ssimae
from sk_ssimae.datasets import make_woven_fabric
from sk_ssimae.persistence import save
from sk_ssimae.persistence._container import FORMAT_VERSION

PARAMETERS = {
    "SSIMAutoencoderSegmenter": {
        "window_size": 7,
        "window": "gaussian",
        "image_size": (32, 48),
        "residual_params": {"gamma": 3, "c2": 3e-3},
    },
    "L2AutoencoderSegmenter": {"normalization": None, "threshold": 0.05, "smoothing": 1.5},
    "VariationalAutoencoderSegmenter": {"residual": "kl", "lr": np.float64(1e-3)},
    "FeatureMatchingAutoencoderSegmenter": {"feature_extractor": torch.nn.AvgPool2d(4)},
}


def set_patterns(network: torch.nn.Module) -> None:
    """Give every layer weights that repeat and keep the size of what passes through."""
    for index, (name, tensor) in enumerate(network.state_dict().items()):
        if tensor.ndim:
            pattern = torch.arange(tensor.numel()).mul(index + 3).remainder(17) - 8
            scale = (2 / tensor[0].numel()) ** 0.5 / 5 if tensor.ndim == 4 else 1 / 128
            tensor.copy_((pattern * scale).reshape(tensor.shape))
            is_scale = name.endswith("running_var") or (tensor.ndim == 1 and "weight" in name)
            tensor.add_(float(is_scale))


if __name__ == "__main__":
    good = make_woven_fabric(3, shape=(48, 64), thread_spacing=6, random_state=0)
    rows, columns = np.indices((40, 56))
    image = np.float32(0.5 + 0.3 * np.sin(rows / 2) * np.cos(columns / 3))
    for name, parameters in PARAMETERS.items():
        segmenter = getattr(sk_ssimae, name)(
            latent_dim=4, patch_size=16, stride=8, n_patches=32, max_epochs=2, random_state=0,
            **parameters,
        )  # fmt: skip
        segmenter.fit(good)
        set_patterns(segmenter.net_.module_)
        if segmenter.threshold == "pixel_fpr":
            segmenter.calibrate(good)
        if name.startswith("FeatureMatching"):
            segmenter.set_params(feature_extractor="alexnet")
        with tempfile.TemporaryDirectory() as folder:
            save(segmenter, Path(folder) / "file")
            content = (Path(folder) / "file").read_bytes()
        target = Path(__file__).parent / "data" / f"format_{FORMAT_VERSION}_{name}.safetensors.gz"
        target.write_bytes(gzip.compress(content, mtime=0))
        residual_map = segmenter.decision_function([image])[0]
        values = [residual_map.mean(), residual_map[3, 5], residual_map[30, 40]]
        print(name, target.stat().st_size, segmenter.threshold_, *map(float, values))
