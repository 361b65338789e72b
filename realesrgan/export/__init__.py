"""Models for other programs: a network written as ONNX or as ncnn's files. Restores nothing itself."""
