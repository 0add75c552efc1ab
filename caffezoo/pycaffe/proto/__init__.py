"""``caffe.proto``: the messages."""

from caffezoo.pycaffe.proto import caffe_pb2 as caffe_pb2
