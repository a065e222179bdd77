"""Let the C library reuse the memory of a training step for the next one."""

import torch

# glibc adapts to a freed block of up to 32 MiB, its header included.
_BYTES = 2**25 - 2**16


def reuse_freed_memory() -> None:
    """Make glibc keep up to 64 MiB of freed memory, instead of returning it to the system.

    Tensors of a step are a few MiB each. glibc at first takes each from the system and returns it
    when it is freed, and the system clears every page again: several thousand page faults a step.
    When it frees a large block, glibc raises the size from which it does so to that of the block,
    and the free memory that it keeps to twice that size. Any program that frees an array of this
    size has the same effect. Nothing is written to the block, so that it occupies no memory.

    Other C libraries, and processes with ``MALLOC_MMAP_THRESHOLD_`` or ``MALLOC_TRIM_THRESHOLD_``
    set, are unaffected.

    References
    ----------
    mallopt(3), M_MMAP_THRESHOLD, "dynamic mmap threshold".
    """
    torch.empty(_BYTES, dtype=torch.uint8)
