"""Errors of a lack of memory."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error or its cause is a lack of memory, on the CPU or a GPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # Torch's.
        return True
    if isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error):
        return True
    return error.__cause__ is not None and is_out_of_memory(error.__cause__)
