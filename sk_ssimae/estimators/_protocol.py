"""The settings of the paper, and of a method that it compares with."""

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
        "precision": "float32",
        "stride": 30,
        "taper": 0,
        "smoothing": 0,
        "test_time_augmentation": None,
        "opening_diameter": 4,
    }


def self_similarity_protocol() -> dict[str, Any]:
    """Return the settings of Napoletano et al., for ``set_params`` of `FeatureDictionarySegmenter`.

    Subregions are enlarged to 224 pixels per side. Their features are averaged, as in the last
    layer but one of a ResNet, divided by their l1 norm, and reduced to 95 % of the variance. The
    residual is the distance to the nearest of 500 centres of k-means.

    Returns
    -------
    dict
        Parameters of a feature dictionary. The network is not among them: theirs is
        ResNet-18 trained on ImageNet, which this package does not have; its own number of centres
        is 10, 100, 500 or 1000. The size 32 and stride 8 of subregions are those of an independent
        implementation.

    References
    ----------
    P. Napoletano, F. Piccoli, R. Schettini, "Anomaly Detection in Nanofibrous Materials by
    CNN-Based Self-Similarity", Sensors 18(1), 2018.

    Examples
    --------
    >>> from sk_ssimae import FeatureDictionarySegmenter, self_similarity_protocol
    >>> segmenter = FeatureDictionarySegmenter().set_params(**self_similarity_protocol())
    >>> segmenter.dictionary, segmenter.n_components, segmenter.subregions
    ('kmeans', 0.95, (32, 8, 224))
    """
    return {
        "pooling": 1,
        "normalization": "l1",
        "subregions": (32, 8, 224),
        "dictionary": "kmeans",
        "dictionary_size": 500,
        "n_components": 0.95,
        "whitening": 0,
        "n_neighbors": 1,
        "density_neighbors": 0,
        "smoothing": 0,
    }
