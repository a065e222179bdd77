"""A fitted segmenter as an ONNX file, and the segmenter that computes from it without torch."""
