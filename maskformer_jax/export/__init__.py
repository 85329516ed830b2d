"""Trained networks for other programs: ONNX for C++, StableHLO for any runtime of XLA."""
