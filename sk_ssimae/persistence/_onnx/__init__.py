"""A fitted segmenter as an ONNX file, and the segmenter that predicts with it without torch."""
