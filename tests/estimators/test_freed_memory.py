import platform
import subprocess
import sys

import pytest

from sk_ssimae import L2AutoencoderSegmenter
from sk_ssimae.estimators import _training

# A new process, because any earlier test may have freed a large block.
COUNT = """
import resource
import torch
from sk_ssimae.estimators._freed_memory import reuse_freed_memory


def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        tensors = [torch.zeros(2**21, dtype=torch.uint8) for _ in range(8)]
        del tensors
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


print(faults())
reuse_freed_memory()
faults()
print(faults())
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other C libraries do not adapt to freed blocks"
)
def test_freed_memory_is_used_again():
    ended = subprocess.run(
        [sys.executable, "-c", COUNT], capture_output=True, text=True, check=True
    )
    before, after = map(int, ended.stdout.split())
    assert before > 1000
    assert after < 0.1 * before


def test_training_uses_freed_memory(tiny, good, monkeypatch):
    calls = []
    monkeypatch.setattr(_training, "reuse_freed_memory", lambda: calls.append(1))
    L2AutoencoderSegmenter(**tiny).fit(good)
    assert calls == [1]
