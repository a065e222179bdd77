"""Results of learning that are kept in a folder, so that another fit need not learn again."""

import contextlib
import hashlib
import os
import pickle
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import scipy
import sklearn
from sklearn.base import clone

import sk_ssimae
from sk_ssimae._atomic import lock
from sk_ssimae._inference._region import Region

if TYPE_CHECKING:
    from sk_ssimae.estimators._base import BaseSegmenter

_DIGEST_SIZE = hashlib.sha256().digest_size


class _InterruptedError(Exception):
    """Learning was interrupted: its results must not be kept."""


def learn_or_recall(
    segmenter: "BaseSegmenter", regions: Sequence[Region], rng: np.random.Generator
) -> None:
    """Learn from good regions, or take over the results of the same learning from `memory`.

    The results have passed through a pickle in both cases, so that a fit ends alike whether or not
    it was found. Of several processes that need the same results, one learns and the others wait.

    Parameters
    ----------
    segmenter : BaseSegmenter
        Its parameters have been checked; `memory` is not None.
    regions : sequence of Region
        Good images, or parts of them.
    rng : Generator
        Source of all random numbers; it ends as after learning.

    Raises
    ------
    OSError
        If the folder does not exist and cannot be created.
    TypeError
        If a parameter or a result cannot be pickled.

    Warns
    -----
    UserWarning
        If an entry is corrupted: it is learned again.
    """
    memory = _as_memory(segmenter.memory)
    key = _key(segmenter, regions, rng)
    learned: list[bytes] = []

    def learn() -> bytes:
        learner = clone(segmenter)
        before = {*vars(learner)}
        learner._pass_regions(learner.fit_regions, regions, rng)
        content = _pack(learner, before, rng)
        learned.append(content)
        if not learner.is_finished():
            raise _InterruptedError
        return content

    kept = memory.cache(_recall, ignore=["learn"])
    content = None
    with _locked(memory, key), contextlib.suppress(_InterruptedError):
        shelved = kept.call_and_shelve(key, learn)
        content = None if learned else _read(shelved)
        if content is None and not learned:
            shelved.clear()
            kept.call_and_shelve(key, learn)
    if content is not None and getattr(segmenter, "verbose", False):
        print(f"{type(segmenter).__name__} has learned from these images before: see memory.")
    results, rng.bit_generator.state = pickle.loads(content or learned[0])
    segmenter.__dict__.update(results)


def hash_parameter(value: Any, name: str, purpose: str) -> str:
    """Return a hash of the value of a parameter.

    Raises
    ------
    TypeError
        If it cannot be pickled: the message names it, and the purpose, another parameter.
    """
    try:
        return str(joblib.hash(value))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            f"{name} must be picklable with {purpose}, which tells runs apart by it: define "
            f"functions and classes in a module, not inside others ({error})."
        ) from error


# joblib names the folder of entries by this function.
def _recall(key: str, learn: Callable[[], bytes]) -> bytes:
    """Return the results that belong to a key, without a call of `learn` where they are kept."""
    return learn()


def _as_memory(memory: Any) -> joblib.Memory:
    if isinstance(memory, joblib.Memory):
        return memory
    return joblib.Memory(os.fspath(memory), verbose=0)


def _key(segmenter: "BaseSegmenter", regions: Sequence[Region], rng: np.random.Generator) -> str:
    """Hash everything that determines the results of learning, region by region."""
    cls = type(segmenter)
    parameters = segmenter.learning_inputs()
    described = {
        "class": f"{cls.__module__}.{cls.__qualname__}",
        "inputs": {name: hash_parameter(own, name, "memory") for name, own in parameters.items()},
        "rng": joblib.hash(rng.bit_generator.state),
        "versions": [one.__version__ for one in (sk_ssimae, sklearn, scipy, np)],
    }
    digest = hashlib.sha256(repr(described).encode())
    for region in regions:
        digest.update(repr(region.working_shape).encode())
        for values in (region.pixels, region.inside):
            if values is None:
                digest.update(b"None")
                continue
            digest.update(f"{values.dtype} {values.shape}".encode())
            digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def _pack(learner: "BaseSegmenter", before: set[str], rng: np.random.Generator) -> bytes:
    """Pickle the attributes that learning has set, and add a checksum: joblib has none."""
    state: Any = learner.__getstate__()
    results = {name: state[name] for name in vars(learner) if name not in before}
    try:
        content = pickle.dumps((results, rng.bit_generator.state))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            f"memory must be None: results of {type(learner).__name__} cannot be pickled "
            f"({error}). Define functions and classes in a module, not inside others."
        ) from error
    return content + hashlib.sha256(content).digest()


def _read(shelved: Any) -> bytes | None:
    """Read an entry; None, with a warning, if it is corrupted."""
    try:
        content = shelved.get()
        if hashlib.sha256(content[:-_DIGEST_SIZE]).digest() == content[-_DIGEST_SIZE:]:
            return bytes(content)
        reason = "checksum mismatch"
    except Exception as error:  # Unpickling a truncated file may raise anything.
        reason = str(error)[:300]
    warnings.warn(f"{shelved!r} is corrupted ({reason}); it is learned again.", stacklevel=2)
    return None


@contextlib.contextmanager
def _locked(memory: joblib.Memory, key: str) -> Iterator[None]:
    """Hold a lock for an entry; on Windows, and without locks in the file system, do nothing."""
    if memory.location is None:
        yield
        return
    folder = Path(memory.location) / "sk_ssimae_locks"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / key
    while True:
        with path.open("wb") as file:
            with contextlib.suppress(OSError):
                lock(file.fileno(), wait=True)
            # The process that held the lock has removed the file: then it protects nothing.
            if not _is_at(file.fileno(), path):
                continue
            try:
                yield
            finally:
                with contextlib.suppress(OSError):  # Windows removes no open file.
                    path.unlink()
            return


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
