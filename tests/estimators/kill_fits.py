"""Kill fits with SIGKILL at random moments until one completes; compare it with one undisturbed.

    python tests/estimators/kill_fits.py --kills 100

Exits with 1 if a checkpoint is not whole after a kill, or the weights differ in the end.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import torch

from sk_ssimae import VariationalAutoencoderSegmenter
from sk_ssimae.datasets import make_woven_fabric
from sk_ssimae.estimators._checkpoint_file import read_values

# A forked child cannot use a GPU that its parent has begun to use; Adam asks it for its state.
os.environ["CUDA_VISIBLE_DEVICES"] = ""
GOOD = make_woven_fabric(3, shape=(48, 64), thread_spacing=6, random_state=0)


def make_segmenter(**params):
    return VariationalAutoencoderSegmenter(
        latent_dim=4, patch_size=16, stride=16, n_patches=16, batch_size=8, max_epochs=10,
        augmentation="dihedral", threshold=1.0, random_state=0, device="cpu", **params,
    )  # fmt: skip


def tensors(segmenter):
    net = segmenter.net_
    return [*net.module_.state_dict().values(), *net.criterion_.state_dict().values()]


def kill_one(folder, seconds):
    """Fit in a separate process, kill it after some seconds, and return whether it ended before."""
    child = os.fork()
    if child == 0:
        try:
            make_segmenter(checkpoint_dir=folder).fit(GOOD)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in (0, -signal.SIGKILL):
        sys.exit("A fit failed.")
    return code == 0


def epochs_done(folder):
    """Read all checkpoints; fails if one is incomplete."""
    return max(
        (len(read_values(path, 2**28)["history"]) for path in folder.glob("*.pt")), default=0
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=4, help="least number of kills")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    moments = random.Random(arguments.seed)
    start = time.perf_counter()
    expected = tensors(make_segmenter().fit(GOOD))
    duration = time.perf_counter() - start
    n_kills = n_fits = n_temporary = 0
    seen = Counter()
    while n_kills < arguments.kills:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            while not kill_one(folder, moments.uniform(0, duration / 2)):
                n_kills += 1
                seen[epochs_done(folder)] += 1
            found = tensors(make_segmenter(checkpoint_dir=folder).fit(GOOD))
            n_temporary += len(list(folder.glob(".sk_ssimae-*")))
        n_fits += 1
        if not all(torch.equal(a, b) for a, b in zip(found, expected, strict=True)):
            sys.exit("The weights differ.")
    print(f"{n_kills} kills of {n_fits} fits: the weights are those of a fit left alone.")
    print(f"Kills by epochs done: {dict(sorted(seen.items()))}")
    print(f"{n_temporary} killed while a checkpoint was written.")
