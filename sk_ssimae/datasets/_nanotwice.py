"""NanoTWICE: nanofibrous material under a scanning electron microscope."""

from pathlib import Path
from typing import Any

from sk_ssimae.datasets._download import fetch_archive
from sk_ssimae.datasets._folders import as_path, load_image_folder

_FOLDERS = ("Normal", "Anomalous/images", "Anomalous/gt")
_URL = "http://web.mi.imati.cnr.it/ettore/NanoTWICE/dfg05er_Data.zip"


def load_nanotwice(root: str | Path, *, return_X_y: bool = False) -> Any:
    """Load the NanoTWICE images: nanofibrous material under a scanning electron microscope.

    Five normal images of 700 × 1024 and forty anomalous images of 696 × 1024 pixels, 8-bit grey.
    Free for research; cite Carrera et al. :func:`fetch_nanotwice` downloads them.

    Parameters
    ----------
    root : path
        Folder of the unpacked archive, with ``Normal``, ``Anomalous/images`` and ``Anomalous/gt``.
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
        If images and masks do not pair.

    References
    ----------
    D. Carrera, F. Manganini, G. Boracchi, E. Lanzarone, "Defect Detection in SEM Images of
    Nanofibrous Materials", IEEE Trans. Industrial Informatics 13 (2), 2017.

    Examples
    --------
    >>> from sk_ssimae.datasets import load_nanotwice
    >>> nanofibres = load_nanotwice("dfg05er_Data")  # doctest: +SKIP
    >>> len(nanofibres.good), len(nanofibres.defective)  # doctest: +SKIP
    (5, 40)
    """
    normal, images, masks = (as_path(root, "root") / folder for folder in _FOLDERS)
    return load_image_folder(normal, images, masks, return_X_y=return_X_y)


def fetch_nanotwice(
    *,
    data_home: str | Path | None = None,
    download_if_missing: bool = True,
    return_X_y: bool = False,
    url: str = _URL,
    known_hash: str | None = None,
    n_retries: int = 3,
    progress: bool = False,
) -> Any:
    """Load the NanoTWICE images, downloading them if necessary.

    They are kept in the folder ``nanotwice`` of `data_home`. Needs the extra ``data``:
    ``pip install ".[data]"``.

    Parameters
    ----------
    data_home : path, optional
        Folder of data sets. By default the value of the environment variable ``SK_SSIMAE_DATA``,
        or ``~/sk_ssimae_data`` if it is not set.
    download_if_missing : bool, default=True
        Download the images if they are missing, instead of raising an error.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.
    url : str
        Address of the archive. The default is ``dfg05er_Data.zip`` on the NanoTWICE project page.
        It is served without encryption: pass `known_hash` if that matters.
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
        As returned by :func:`load_nanotwice`.

    Raises
    ------
    OSError
        If the images are missing and `download_if_missing` is False, or the archive cannot be
        downloaded, has another hash, or is not a safe zip archive of the expected layout.
    ImportError
        If the images are missing and the extra is not installed.
    ValueError
        If `url`, `known_hash` or `n_retries` has the wrong form.

    Examples
    --------
    >>> from sk_ssimae.datasets import fetch_nanotwice
    >>> nanofibres = fetch_nanotwice(progress=True)  # doctest: +SKIP
    >>> len(nanofibres.good), len(nanofibres.defective)  # doctest: +SKIP
    (5, 40)
    """
    root = fetch_archive(
        "nanotwice",
        _FOLDERS,
        url,
        data_home=data_home,
        download_if_missing=download_if_missing,
        known_hash=known_hash,
        n_retries=n_retries,
        progress=progress,
    )
    return load_nanotwice(root, return_X_y=return_X_y)
