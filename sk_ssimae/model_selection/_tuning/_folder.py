"""The folder of a tuning, by which an interrupted one continues."""

import hashlib
import io
import json
import os
import sys
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sk_ssimae._atomic import remove_temporaries, replace_file
from sk_ssimae._images import Images
from sk_ssimae._lock import LOCK, lock_folder
from sk_ssimae._validation import to_array

_PLAN = "tuning.json"
_CHECKPOINTS = "checkpoints"
_FORMAT = 2
# Ends the name of a hash of content that a text does not show, such as the weights of a network.
_CONTENT = ", content"


class TuningFolder:
    """Results of the candidates of one tuning, in files.

    ``tuning.json`` describes the images and the options, so that those of another tuning are
    refused. Each candidate that was scored has a file ``NN.json`` with its scores, and ``NN.npz``
    with its best residual maps. Autoencoders have their checkpoints in ``checkpoints``.

    Parameters
    ----------
    path : path
        The folder. It exists, and is locked while anything is written to it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints of autoencoders."""
        return self.path / _CHECKPOINTS

    def open_plan(self, images: list[str], options: dict[str, Any], plan: dict[str, Any]) -> Any:
        """Return the plan of the tuning that began here, or write this one.

        Parameters
        ----------
        images : list of str
            Checksum of each image.
        options : dict
            All that changes the results, as text.
        plan : dict
            Numbers that are drawn or chosen at the beginning.

        Raises
        ------
        FileExistsError
            If the folder has other files.
        ValueError
            If the folder belongs to a tuning of other images or options.
        """
        stored = self._read(_PLAN)
        if stored is None:
            remove_temporaries(self.path)  # Of a run that was killed while it wrote the plan.
            others = sorted({entry.name for entry in self.path.iterdir()} - {LOCK})
            if others:
                raise FileExistsError(
                    f"folder must be empty or have the files of a tuning, got {str(self.path)!r} "
                    f"with {others[0]!r} instead. Choose another folder."
                )
            content = {"format": _FORMAT, "images": images, "options": options, "plan": plan}
            self._write(_PLAN, content)
            return plan
        if stored.get("format") != _FORMAT:
            self._refuse("was written by another version of sk_ssimae")
        self._compare_images(stored["images"], images)
        for name in sorted({*stored["options"], *options}):
            there, here = stored["options"].get(name), options.get(name)
            if there != here and name == "roi":
                self._refuse("was begun with another region of interest (roi)")
            if (difference := _first_difference(name, there, here)) is not None:
                name, there, here = difference
                self._refuse(f"was begun with {name}={_short(there)}, not {_short(here)}")
        return stored["plan"]

    def update_plan(self, **values: Any) -> None:
        """Add numbers to the plan."""
        stored = self._read(_PLAN)
        if stored is None:
            raise FileNotFoundError(
                f"folder: {str(self.path / _PLAN)!r} was removed while it was in use. Begin again."
            )
        stored["plan"] |= values
        self._write(_PLAN, stored)

    def read_trial(self, number: int) -> dict[str, Any] | None:
        """Return the stored result of a candidate; None if it was not begun."""
        content: dict[str, Any] | None = self._read(f"{number:02}.json")
        return content

    def write_trial(self, number: int, content: dict[str, Any]) -> None:
        """Write the result of a candidate."""
        self._write(f"{number:02}.json", content)

    def read_maps(self, number: int) -> list[NDArray[np.float32]]:
        """Return the residual maps of a candidate."""
        path = self.path / f"{number:02}.npz"
        try:
            with np.load(path, allow_pickle=False) as stored:
                return [stored[f"arr_{index}"] for index in range(len(stored.files))]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise self._damaged(path, path.with_suffix(".json")) from error

    def write_maps(self, number: int, maps: Sequence[NDArray[np.float32]]) -> None:
        """Write the residual maps of a candidate."""
        content = io.BytesIO()
        np.savez(content, *maps)
        replace_file(self.path / f"{number:02}.npz", content.getvalue())

    def remove(self) -> None:
        """Remove the files of the tuning, and the folder if nothing else is in it.

        Raises
        ------
        BlockingIOError
            If another run uses the folder.
        """
        with lock_folder(self.path, "folder"):
            for entry in [*self.path.glob("[0-9][0-9].*"), self.path / _PLAN]:
                entry.unlink(missing_ok=True)
            for entry in self.checkpoints.glob("*.pt"):
                entry.unlink()
            for folder in (self.checkpoints, self.path):
                remove_temporaries(folder)
        for folder in (self.checkpoints, self.path):
            with suppress(OSError):  # It has files of others, or was not made.
                folder.rmdir()

    def _compare_images(self, there: list[str], here: list[str]) -> None:
        if len(there) != len(here):
            self._refuse(f"was begun with {len(there)} images, not {len(here)}")
        for index, pair in enumerate(zip(there, here, strict=True)):
            if pair[0] != pair[1]:
                self._refuse(f"was begun with another image in place of X[{index}]")

    def _read(self, name: str) -> Any:
        path = self.path / name
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise self._damaged(path) from error
        if not isinstance(content, dict):
            raise self._damaged(path)
        return content

    def _write(self, name: str, content: Any) -> None:
        replace_file(self.path / name, (json.dumps(content, indent=1) + "\n").encode())

    def _refuse(self, reason: str) -> None:
        raise ValueError(
            f"folder: the tuning in {str(self.path)!r} {reason}. Continue it with the same images "
            "and options, choose another folder, or delete this one to begin again."
        )

    def _damaged(self, *paths: Path) -> ValueError:
        named = " and ".join(repr(str(path)) for path in paths)
        again = f"Delete {named} to compute this candidate again, or delete"
        remedy = "Delete" if paths[0].name == _PLAN else again
        return ValueError(
            f"folder: {str(paths[0])!r} is damaged. {remedy} the folder to begin again."
        )


def checksum_images(images: Images) -> list[str]:
    """Return a checksum of the content of each image."""
    return [_checksum(images.take([index])[0], f"X[{index}]") for index in range(len(images))]


def checksum_roi(images: Images) -> str | None:
    """Return a checksum of the masks of the inspected pixels; None if all pixels are inspected."""
    if images.inspects_all:
        return None
    digest = hashlib.blake2b(digest_size=16)
    for index in range(len(images)):
        inside: Any = images.read_inside(index, images.read_shape(index))
        digest.update(f"{inside.shape}".encode() + np.packbits(inside).tobytes())
    return digest.hexdigest()


def describe_segmenter(segmenter: Any) -> dict[str, str]:
    """Describe all that changes the results of a segmenter."""
    from sk_ssimae.estimators import BaseSegmenter, Role
    from sk_ssimae.estimators._memory import hash_parameter

    params = segmenter.get_params()
    members = {
        f"{name}__": part for name, part in params.items() if isinstance(part, BaseSegmenter)
    }
    parts = {"": segmenter, **members}
    machine = {name for part in parts.values() for name in part.parameter_names(Role.MACHINE)}
    read = {
        f"{prefix}{name}": value
        for prefix, part in parts.items()
        for name, value in _learning_inputs(part).items()
        if not _is_plain(value)
    }
    described = {"class": _name_of(type(segmenter))}
    for name, value in sorted(params.items()):
        if name.rpartition("__")[2] in {*machine, "segmenters"}:  # Members have own names.
            continue
        # Other texts may differ between processes: those of sets, of random generators.
        described[name] = repr(value) if _is_plain(value) else _name_of(type(value))
        has_own_names = hasattr(value, "get_params") and name not in read
        content = read[name] if name in read else _picklable(value)
        if not has_own_names and not _is_plain(content):
            described[name + _CONTENT] = hash_parameter(content, name, "folder")
    return described


def _learning_inputs(segmenter: Any) -> dict[str, Any]:
    """Return the inputs of learning, in which networks stand in place of their paths."""
    try:
        inputs: dict[str, Any] = segmenter.learning_inputs()
    except (ImportError, ValueError):  # Its fit says so, and the others go on.
        return {}
    return inputs


def _picklable(value: Any) -> Any:
    """Return a network in a form whose pickles are equal if its weights are."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.nn.Module):
        return value
    from sk_ssimae.estimators._pickling import for_pickling

    return for_pickling(value)


def _is_plain(value: Any) -> bool:
    """Tell whether a text says all about a value."""
    if isinstance(value, dict):
        return all(map(_is_plain, [*value, *value.values()]))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | bytes | Real | os.PathLike)


def _name_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _checksum(item: Any, name: str) -> str:
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(item, str | bytes | os.PathLike):
        digest.update(Path(os.fsdecode(item)).read_bytes())
    else:
        array = to_array(item, name)
        digest.update(f"{array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _first_difference(name: str, there: Any, here: Any) -> tuple[str, Any, Any] | None:
    """Descend into objects, up to a value that differs; None if there is none."""
    if not isinstance(there, dict) or not isinstance(here, dict):
        return None if there == here else (name, there, here)
    for key in sorted({*there, *here}):
        if key.endswith(_CONTENT) and (key not in there or key not in here):
            continue  # A network that could not be read, as without its extra.
        found = _first_difference(f"{name}, {key}", there.get(key), here.get(key))
        if found is not None:
            return found
    return None


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
