"""Caffe's messages, for scripts that import them from ``caffe.proto.caffe_pb2``."""

from caffezoo.formats import caffe_pb2 as _nets
from caffezoo.formats import solver_pb2 as _solvers

globals().update(
    {name: value for module in (_solvers, _nets) for name, value in vars(module).items() if name[:1] != "_"}
)
