"""The settings of the paper."""

from typing import Any, Literal


def paper_protocol(dataset: Literal["nanotwice", "textures"]) -> dict[str, Any]:
    """Return the settings of the paper, as parameters for ``set_params`` of any autoencoder.

    Parameters
    ----------
    dataset : {"nanotwice", "textures"}
        Nanofibre images at their native size with 500 latent dimensions, or textures scaled to
        256 × 256 pixels with 100.

    Returns
    -------
    dict
        Parameters shared by all autoencoders; everything that goes beyond the paper, such as
        `cutout`, is off. The window and constants of SSIM are not among them: the defaults of
        `SSIMAutoencoderSegmenter` are the window size and exponents of the paper, for the loss and
        for residual maps. The paper does not state the batch size; 128 is that of the authors'
        later work.

    Raises
    ------
    ValueError
        If `dataset` is unknown.

    References
    ----------
    Bergmann et al., arXiv:1807.02011, section 4.

    Examples
    --------
    >>> from sk_ssimae import L2AutoencoderSegmenter, paper_protocol
    >>> segmenter = L2AutoencoderSegmenter().set_params(**paper_protocol("textures"))
    >>> segmenter.max_epochs, segmenter.lr, segmenter.image_size
    (200, 0.0002, 256)
    """
    of_dataset: dict[str, dict[str, Any]] = {
        "nanotwice": {"latent_dim": 500, "image_size": None},
        "textures": {"latent_dim": 100, "image_size": 256},
    }
    if not (isinstance(dataset, str) and dataset in of_dataset):
        raise ValueError(f"dataset must be 'nanotwice' or 'textures', got {dataset!r} instead.")
    return of_dataset[dataset] | {
        "intensity_range": "dtype",
        "patch_size": 128,
        "normalization": None,
        "n_patches": 10_000,
        "augmentation": None,
        "cutout": 0,
        "max_epochs": 200,
        "batch_size": 128,
        "lr": 2e-4,
        "lr_schedule": None,
        "weight_decay": 1e-5,
        "stride": 30,
        "taper": 0,
        "smoothing": 0,
        "test_time_augmentation": None,
        "opening_diameter": 4,
    }
