"""HTML report for deciding: the regions that a model finds, at any level of the verdict."""

from collections.abc import Mapping
from pathlib import Path

from sk_ssimae._atomic import replace_file
from sk_ssimae.cli._candidates import find_candidates
from sk_ssimae.cli._colours import ColourScale
from sk_ssimae.cli._files import (
    check_output_file,
    collect_images,
    identity,
    list_inputs,
    name_images,
)
from sk_ssimae.cli._model import load_model, naming_too_large_images, segment
from sk_ssimae.cli._page import Entry, render
from sk_ssimae.cli._pictures import draw, longest_side
from sk_ssimae.cli._predict import IMAGE_ERRORS
from sk_ssimae.cli._roi import Mask, RegionsOption
from sk_ssimae.cli._runs import runs_of_mask
from sk_ssimae.cli._terminal import SOME_IMAGES_FAILED, Terminal
from sk_ssimae.cli._test_set import find_masks
from sk_ssimae.cli._text import count, one_line
from sk_ssimae.datasets._masks import read_mask
from sk_ssimae.estimators import BaseSegmenter


def report(
    model: Path,
    sources: list[Path],
    output: Path,
    *,
    masks: Path | None,
    good: Path | None,
    threshold: float | None,
    device: str,
    skip_bad: bool,
    roi: str | None,
    recursive: bool,
    mask_suffix: str | None,
    terminal: Terminal,
) -> int:
    """Segment images, write a report of the results and return the exit code.

    Parameters
    ----------
    model : path
        Model file written by `fit`.
    sources : list of path
        Images and folders of images.
    output : path
        HTML file to write.
    masks : path or None
        Folder of masks, paired with `sources` by file name. Those of a category of MVTec AD are
        known.
    good : path or None
        Folder of further images, which are known to be good.
    threshold : float or None
        Level of the verdict; None for that of the model.
    device : str
        Device to compute on.
    skip_bad : bool
        Show the error of an image that fails and continue, instead of stopping.
    roi : str or None
        Region of interest: a mask image, a folder of masks or a rectangle; None for all pixels.
    recursive : bool
        Include images in subfolders.
    mask_suffix : str or None
        Ending of the names of masks between the images, which are left out.
    terminal : Terminal
        Output of the command.
    """
    images = collect_images(sources, recursive=recursive, mask_suffix=mask_suffix)
    truth = find_masks(images, sources, masks, recursive=recursive, mask_suffix=mask_suffix)
    if good is not None:
        good_images = list_inputs(good, "--good", recursive=recursive, mask_suffix=mask_suffix)
        truth |= {identity(image): None for image in good_images}
        images = collect_images([*images, *good_images])
    regions = RegionsOption(roi, images, mask_suffix)
    check_output_file(
        output,
        "--output",
        [model, *images, *filter(None, truth.values()), *regions.inputs()],
        begins=b"<!DOCTYPE html>",
    )
    segmenter = load_model(model, device, threshold).segmenter
    names = name_images(images, {})
    inspect = _Inspector(segmenter, truth, regions, longest_side(len(images)))
    entries = []
    with terminal.progress() as progress:
        for image in progress.track(images, description="Images"):
            name = names[identity(image)]
            try:
                entry = inspect(image, name)
            except IMAGE_ERRORS as error:
                if not skip_bad:
                    raise
                entry = Entry(image, name, error=one_line(error))
                terminal.complain(entry.error)
            entries.append(entry)
    page = render(segmenter, model.name, entries, inspect.colours, inspect.longest_side)
    replace_file(output, page.encode())
    size = f"{len(page) / 1e6:.1f} MB"
    terminal.say(f"{_tally(entries, segmenter.threshold_)}. Report: {str(output)!r} ({size}).")
    return SOME_IMAGES_FAILED if any(entry.error for entry in entries) else 0


class _Inspector:
    """Compute the part of the page that shows an image.

    Parameters
    ----------
    segmenter : BaseSegmenter
        The model.
    truth : mapping of str to path or None
        Mask of each image that has one, by `identity`; None for a good image.
    regions : RegionsOption
        Inspected pixels of the images.
    longest_side : int
        Largest height and width of pictures in pixels.
    """

    def __init__(
        self,
        segmenter: BaseSegmenter,
        truth: Mapping[str, Path | None],
        regions: RegionsOption,
        longest_side: int,
    ) -> None:
        self.segmenter = segmenter
        self.truth = truth
        self.regions = regions
        self.longest_side = longest_side
        self.colours = ColourScale.of(segmenter)

    def __call__(self, image: Path, name: str) -> Entry:
        """Return the entry of an image.

        Raises
        ------
        OSError, TypeError, ValueError
            If the image or its mask cannot be read, does not suit, or is too large.
        """
        segmenter = self.segmenter
        inside = self.regions.mask(image)
        found = segment(segmenter, image, inside)
        shape = (found.mask.shape[0], found.mask.shape[1])
        with naming_too_large_images(image):
            levels = segmenter._with_radius(segmenter._levels(), shape)
            candidates = find_candidates(found.opened_map, levels)
            pictures = draw(
                image, found.opened_map, self.colours, segmenter.conversion, self.longest_side
            )
        truth = self._read_truth(image, shape, inside)
        return Entry(image, name, found.score, shape, candidates, pictures, truth)

    def _read_truth(
        self, image: Path, shape: tuple[int, int], inside: Mask | None
    ) -> list[int] | None:
        if identity(image) not in self.truth:
            return None
        path = self.truth[identity(image)]
        if path is None:
            return []
        mask = read_mask(path)
        if mask.shape != shape:
            raise ValueError(
                f"--masks: the mask {str(path)!r} must have the height and width of its image, "
                f"{shape}, got {mask.shape} instead. Resize it, or remove it from the folder."
            )
        return runs_of_mask(mask if inside is None else mask & inside)


def _tally(entries: list[Entry], threshold: float) -> str:
    failed = sum(bool(entry.error) for entry in entries)
    defective = sum(entry.score is not None and entry.score > threshold for entry in entries)
    text = f"{count(len(entries), 'image')}, {defective} defective"
    return f"{text}, {failed} failed" if failed else text
