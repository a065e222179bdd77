"""Dictionary of a fitted `FeatureDictionarySegmenter`, and the checksum of its network."""

import re
from typing import Any

from sk_ssimae.estimators import FeatureDictionarySegmenter
from sk_ssimae.persistence._checks import quote
from sk_ssimae.persistence._container import Tensors
from sk_ssimae.persistence._dictionary import (
    DictionaryBlueprint,
    describe_dictionary,
    restore_dictionary,
)
from sk_ssimae.persistence._families import Family


def _describe(segmenter: FeatureDictionarySegmenter) -> tuple[dict[str, Any], Tensors]:
    sizes, tensors = describe_dictionary(segmenter)
    return {"dictionary": sizes, "extractor_sha256": segmenter.extractor_sha256_}, tensors


def _restore(
    segmenter: FeatureDictionarySegmenter, document: dict[str, Any]
) -> DictionaryBlueprint:
    digest = document["extractor_sha256"]
    if type(digest) is not str or not re.fullmatch("[0-9a-f]{64}", digest):
        raise ValueError(f"its extractor_sha256 must be a checksum, got {quote(digest)} instead.")
    # The network is opened on first use: to look at a file, none needs to be downloaded.
    segmenter.extractor_sha256_ = digest
    return restore_dictionary(segmenter, document["dictionary"])


FAMILY = Family(("dictionary", "extractor_sha256"), _describe, _restore)
