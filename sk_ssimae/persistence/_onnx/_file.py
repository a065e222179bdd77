"""The file: an ONNX model with one JSON document and a checksum of the whole in its metadata.

It is checked before ONNX Runtime opens it, so that nothing in it can name another file or a custom
operator, or compute more than memory holds.
"""

import hashlib
import json
from typing import Any, NamedTuple

from sk_ssimae.persistence._checks import check_values, parse_object
from sk_ssimae.persistence._onnx._messages import check_fields, parse_foreign, serialize
from sk_ssimae.persistence._onnx._nodes import (
    Interface,
    check_operator_sets,
    read_graph,
    serialize_model,
)
from sk_ssimae.persistence._onnx._settings import FORMAT, Settings, restore
from sk_ssimae.persistence._onnx._shapes import check_graph

#: Largest size of a file in bytes: parsing takes up to 27 times the size in memory. A network for
#: patches of 512 × 512 pixels with a latent vector of 500 has 133 MB.
LARGEST_FILE = 2**28
_NO_DIGEST = "0" * 64
_FOREIGN = "it is not a file of export_onnx, or it was truncated."


class Model(NamedTuple):
    """Content of a file: its settings, and the bytes of a model for ONNX Runtime."""

    settings: Settings
    serialized: bytes


def pack(model: bytes, document: dict[str, Any]) -> bytes:
    """Return the content of a file.

    Parameters
    ----------
    model : bytes
        ONNX model without metadata.
    document : dict
        Values that JSON can represent.

    Returns
    -------
    bytes
        The content. Its checksum is the SHA-256 of the model and of the document with zeros in the
        checksum's place.
    """
    # Fields may follow one another in any order.
    return model + _metadata(_digest(model, document), document)


def read_model(content: bytes) -> Model:
    """Read a file: check that it is complete, runs nothing and needs no more memory than allowed.

    Raises
    ------
    ValueError
        If this is another kind of file, truncated, corrupted, or not as `export_onnx` writes it.
    """
    check_size(len(content))
    message, document = _read(content)
    settings = restore(document)
    interface = Interface.of(
        settings.n_channels,
        settings.patch_size,
        settings.latent_dim if settings.is_variational else None,
    )
    check_operator_sets(message.operator_sets)
    if len(message.graphs) != 1:
        raise ValueError(f"it must contain one graph, got {len(message.graphs)} instead.")
    graph = read_graph(message.graphs[0], interface)
    check_graph(
        graph,
        interface,
        batch_size=settings.inference_batch_size,
        n_samples=settings.n_samples,
    )
    return Model(settings, serialize_model(graph, interface))


def read_document(content: bytes) -> dict[str, Any]:
    """Read the document of a file and check that the file is complete.

    Raises
    ------
    ValueError
        If this is another kind of file, truncated or corrupted.
    """
    return _read(content)[1]


def check_size(n_bytes: int) -> None:
    """Check the size of a file.

    Raises
    ------
    ValueError
        If it is too large to be parsed.
    """
    if n_bytes > LARGEST_FILE:
        raise ValueError(f"it must have at most {LARGEST_FILE} bytes, got {n_bytes} instead.")


def _read(content: bytes) -> tuple[Any, dict[str, Any]]:
    """Parse a file and its document, and compare the checksum."""
    try:
        message = parse_foreign("model", content)
        entry = parse_foreign("metadata", b"".join(message.metadata[:1]))
    except ValueError as error:
        raise ValueError(_FOREIGN) from error
    if entry.key != FORMAT.encode():
        raise ValueError(f"its metadata lack {FORMAT!r}: {_FOREIGN}")
    document = parse_object(entry.value.decode(errors="replace"), "its document")
    check_values(document, "its document")
    digest = document.pop("sha256", None)
    end = _metadata(digest, document)
    body = memoryview(content)[: -len(end)]
    if not content.endswith(end) or digest != _digest(body, document):
        raise ValueError(
            "checksum mismatch: the file is corrupted, or another program changed it. Copy or "
            "export it again."
        )
    check_fields("model", message)
    return message, document


def _metadata(digest: Any, document: dict[str, Any]) -> bytes:
    entry = serialize("metadata", key=FORMAT.encode(), value=_dump(digest, document))
    return serialize("model", metadata=[entry])


def _digest(model: bytes | memoryview, document: dict[str, Any]) -> str:
    digest = hashlib.sha256(model)
    digest.update(_dump(_NO_DIGEST, document))
    return digest.hexdigest()


def _dump(digest: Any, document: dict[str, Any]) -> bytes:
    return json.dumps({"sha256": digest, **document}, allow_nan=False).encode()
