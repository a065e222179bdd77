"""The paper's woven textures."""

from numbers import Integral
from pathlib import Path
from typing import Any, Literal

from sk_ssimae.datasets._download import fetch_archive
from sk_ssimae.datasets._folders import as_path, load_image_folder

_FOLDERS = ("train/good", "test/defective", "ground_truth/defective")
_URL = (
    "https://www.mydrive.ch/shares/46066/8338a11f32bb1b7b215c5381abe54ebf/"
    "download/420939225-1629955758/textures.zip"
)


def load_texture(root: str | Path, texture: Literal[1, 2] = 1, *, return_X_y: bool = False) -> Any:
    """Load one of the paper's two woven textures, 512 × 512 pixels, 8-bit grey.

    :func:`fetch_woven_textures` downloads them.

    Parameters
    ----------
    root : path
        Folder of the unpacked ``textures.zip``, with ``texture_1`` and ``texture_2``. Each
        has ``train/good``, ``test/defective`` and ``ground_truth/defective``.
    texture : {1, 2}, default=1
        Number of the texture.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    Bunch or tuple
        As returned by :func:`load_image_folder`.

    Raises
    ------
    FileNotFoundError
        If `root` lacks one of the folders.
    ValueError
        If `texture` is neither 1 nor 2, or images and masks do not pair.

    References
    ----------
    P. Bergmann et al., "Improving Unsupervised Defect Segmentation by Applying Structural
    Similarity to Autoencoders", 2019, section 4.1.

    Examples
    --------
    >>> from sk_ssimae.datasets import load_texture
    >>> fabric = load_texture("textures", 2)  # doctest: +SKIP
    """
    _check_texture(texture)
    folder = as_path(root, "root") / f"texture_{texture}"
    good, defective, masks = (folder / name for name in _FOLDERS)
    return load_image_folder(good, defective, masks, return_X_y=return_X_y)


def fetch_woven_textures(
    texture: Literal[1, 2] = 1,
    *,
    data_home: str | Path | None = None,
    download_if_missing: bool = True,
    return_X_y: bool = False,
    url: str = _URL,
    known_hash: str | None = None,
    n_retries: int = 3,
    progress: bool = False,
) -> Any:
    """Load one of the paper's woven textures, downloading both if necessary.

    They are kept in the folder ``textures`` of `data_home`. Needs the extra ``data``:
    ``pip install ".[data]"``.

    Parameters
    ----------
    texture : {1, 2}, default=1
        Number of the texture.
    data_home : path, optional
        Folder of data sets. By default the value of the environment variable ``SK_SSIMAE_DATA``,
        or ``~/sk_ssimae_data`` if it is not set.
    download_if_missing : bool, default=True
        Download the images if they are missing, instead of raising an error.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.
    url : str
        Address of the archive. The default is the ``textures.zip`` offered next to the paper, with
        its terms, on MVTec's page of research publications. If it has moved, copy the new link from
        there.
    known_hash : str, optional
        Hash of the archive: a SHA-256 in hexadecimal digits, or ``"algorithm:digits"``. The
        publishers provide none; the hash of an unchecked download is logged for the next call.
    n_retries : int, default=3
        Number of further attempts after a failed download.
    progress : bool, default=False
        Show a progress bar.

    Returns
    -------
    Bunch or tuple
        As returned by :func:`load_texture`.

    Raises
    ------
    OSError
        If the images are missing and `download_if_missing` is False, or the archive cannot be
        downloaded, has another hash, or is not a safe zip archive of the expected layout.
    ImportError
        If the images are missing and the extra is not installed.
    ValueError
        If `texture` is neither 1 nor 2, or `url`, `known_hash` or `n_retries` has the wrong form.

    Examples
    --------
    >>> from sk_ssimae.datasets import fetch_woven_textures
    >>> fabric = fetch_woven_textures(2, progress=True)  # doctest: +SKIP
    """
    _check_texture(texture)
    root = fetch_archive(
        "textures",
        tuple(f"texture_{number}/{name}" for number in (1, 2) for name in _FOLDERS),
        url,
        data_home=data_home,
        download_if_missing=download_if_missing,
        known_hash=known_hash,
        n_retries=n_retries,
        progress=progress,
    )
    return load_texture(root, texture, return_X_y=return_X_y)


def _check_texture(texture: int) -> None:
    is_number = isinstance(texture, Integral) and not isinstance(texture, bool)
    if not (is_number and texture in (1, 2)):
        raise ValueError(f"texture must be 1 or 2, got {texture!r} instead.")
