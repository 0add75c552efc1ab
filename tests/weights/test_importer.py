"""Import: which framework wrote a file, Caffe's own under other names, and what has no place."""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.engines.seeding import hashed_uniform
from caffezoo.errors import BindingError, SourceError, WeightsFileError
from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.net.graph import Network
from caffezoo.weights.importer import framework_of, import_weights
from caffezoo.weights.torch_process import HINT
from caffezoo.zoo.renaming import renamings
from caffezoo.zoo.resources import data_path
from caffezoo.zoo.tensor_map import Conventions
from tests.weights import tiny_network as tiny
from tests.weights import torch_writer


def prototxt(folder: str, name: str):
    return data_path(f"prototxt/{folder}/deploy_{name}.prototxt")


def blobs_of(net: Network) -> dict[str, list[np.ndarray]]:
    return {
        n.name: [hashed_uniform(f"{n.name}:{i}", s) for i, s in enumerate(n.blob_shapes)]
        for n in net.nodes
        if n.blob_shapes
    }


@pytest.fixture
def squeezenet(tmp_path):
    net = Network.load(prototxt("squeezenet", "squeezenet-v1.1"))
    return net, blobs_of(net), tmp_path / "s.caffemodel"


def test_framework(tmp_path):
    files = torch_writer.files_of(tiny.tensors())
    (tmp_path / "a").write_bytes(files["zip"])
    (tmp_path / "b").write_bytes(files["legacy"])
    (tmp_path / "c").write_bytes(tiny.caffemodel(tmp_path))
    header = b'{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'
    (tmp_path / "d").write_bytes(len(header).to_bytes(8, "little") + header)
    assert [framework_of(tmp_path / n) for n in "abcd"] == ["torch", "torch", "caffe", "torch"]
    (tmp_path / "e").write_bytes(b"<!DOCTYPE html><html>")
    for name, message in (("e", "no weights file: it is an HTML page"), ("none", "cannot be read")):
        with pytest.raises(WeightsFileError, match=message):
            framework_of(tmp_path / name)


def test_framework_of_hdf5(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "caffe.h5", "w") as file:
        file.create_group("data/conv1")
    with h5py.File(tmp_path / "keras.h5", "w") as file:
        file.attrs["layer_names"] = [b"data"]
        file.create_group("data")
    assert framework_of(tmp_path / "caffe.h5") == "caffe"
    assert framework_of(tmp_path / "keras.h5") == "keras"


@pytest.mark.parametrize(
    ("network", "others"),
    [
        ("densenet121", {"densenet121-shicai"}),
        ("densenet201-shicai", {"densenet201"}),
        ("vgg16-tf", {"vgg16", "vgg16-dsd", "vgg16-pytorch"}),
        ("vgg19", {"vgg19-pytorch"}),
        ("alexnet", set()),
    ],
)
def test_renamings(network, others):
    found = renamings(network)
    assert set(found) == others
    for names in found.values():
        assert len(set(names.values())) == len(names)


@pytest.mark.parametrize("layers", [121])
def test_densenets_in_both_directions(tmp_path, layers):
    nets = {
        name: Network.load(prototxt("densenet", name)) for name in (f"densenet{layers}", f"densenet{layers}-shicai")
    }
    for name, other in (tuple(nets), tuple(reversed(nets))):
        blobs = blobs_of(nets[other])
        write_caffemodel(tmp_path / "f", nets[other].prototxt.net, blobs)
        found = import_weights(name, tmp_path / "f", prototxt("densenet", name))
        assert found.report.notes == (f"layers renamed from {other}'s",)
        assert found.report.unused == ()
        made = [b for n in nets[name].nodes for b in found.blobs.get(n.name, ())]
        given = [b for n in nets[other].nodes for b in blobs.get(n.name, ())]
        for a, b in zip(made, given, strict=True):
            np.testing.assert_array_equal(a, b)


def test_order_of_classes(squeezenet):
    net, blobs, path = squeezenet
    write_caffemodel(path, net.prototxt.net, blobs)
    own = Conventions(labels="2012")
    found = import_weights("squeezenet-v1.1", path, net.path, taken={"": own}, wanted=Conventions(labels="2015"))
    assert found.framework == "caffe"
    moved = found.blobs["conv10"]
    assert not np.array_equal(moved[1], blobs["conv10"][1])
    np.testing.assert_array_equal(np.sort(moved[1]), np.sort(blobs["conv10"][1]))
    for name in set(blobs) - {"conv10"}:
        np.testing.assert_array_equal(found.blobs[name][0], blobs[name][0])


def test_background_of_a_caffemodel(squeezenet, tmp_path):
    net, blobs, path = squeezenet
    text = prototxt("squeezenet", "squeezenet-v1.1").read_text().replace("num_output: 1000", "num_output: 1001")
    wide = Network.from_text(text)
    more = {**blobs, "conv10": [np.concatenate([b[:1], b]) for b in blobs["conv10"]]}
    write_caffemodel(path, wide.prototxt.net, more)
    with pytest.raises(BindingError, match="conv10"):
        import_weights("squeezenet-v1.1", path, net.path)
    found = import_weights("squeezenet-v1.1", path, net.path, background=True)
    np.testing.assert_array_equal(found.blobs["conv10"][0], blobs["conv10"][0])
    write_caffemodel(path, net.prototxt.net, blobs)
    with pytest.raises(BindingError, match="has not 1001 rows"):
        import_weights("squeezenet-v1.1", path, net.path, background=True)


def test_layers_without_a_place(squeezenet):
    net, blobs, path = squeezenet
    text = prototxt("squeezenet", "squeezenet-v1.1").read_text()
    extra = """
    layer { name: "loss1/fc" type: "InnerProduct" bottom: "conv1" top: "l" inner_product_param { num_output: 2 } }
    layer { name: "head" type: "InnerProduct" bottom: "conv1" top: "h" inner_product_param { num_output: 2 } }
    """
    longer = Network.from_text(text + extra)
    extras = {name: [np.zeros(s, np.float32) for s in longer.node(name).blob_shapes] for name in ("loss1/fc", "head")}
    write_caffemodel(path, longer.prototxt.net, {**blobs, **extras})
    with pytest.raises(BindingError, match="1 layers have no place: head; --allow-unused"):
        import_weights("squeezenet-v1.1", path, net.path)
    found = import_weights("squeezenet-v1.1", path, net.path, unused=["he*"])
    assert found.report.unused == ("loss1/fc", "head")


def test_schemes_are_not_caffes(squeezenet):
    net, blobs, path = squeezenet
    write_caffemodel(path, net.prototxt.net, blobs)
    with pytest.raises(SourceError, match="no naming scheme"):
        import_weights("squeezenet-v1.1", path, net.path, scheme="timm")


def test_hint_names_the_option():
    assert "--torch-python" in HINT
