"""The second step: a network, trained and exported to ONNX."""
