"""The ONNX graph of a network, written layer by layer: one small function for each kind of layer of the catalogue."""

from app.training.onnx_graph.network import INPUT, OUTPUT, onnx_of

__all__ = ["INPUT", "OUTPUT", "onnx_of"]
