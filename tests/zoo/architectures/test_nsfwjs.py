"""NSFWJS' network: Keras' InceptionV3 up to its average, three fully connected layers behind it."""

from __future__ import annotations

from caffezoo.weights.schemes import wanted_tensors
from caffezoo.zoo.architectures.registry import architectures
from caffezoo.zoo.index import load_index
from caffezoo.zoo.resources import data_root
from caffezoo.zoo.tensor_map import tensor_maps
from tests.zoo.architectures.generated import generated

NAME = "nsfwjs-inception-v3"
# What the package's weightsManifest holds: 22,360,869 numbers in 382 tensors.
NUMBERS, TENSORS = 22_360_869, 382


def test_it_is_keras_inception_below_another_head() -> None:
    ours, keras = generated("nsfwjs", NAME), generated("keras", "keras-inception-v3")
    place = [node.name for node in keras.nodes].index("avg_pool") + 1
    assert [n.layer.proto for n in ours.nodes[:place]] == [n.layer.proto for n in keras.nodes[:place]]
    head = [(node.name, node.layer.type, ours.shape(node.tops[0].name)) for node in ours.nodes[place:]]
    assert head == [
        ("dense_1", "InnerProduct", (1, 256)),
        ("dense_1_relu", "ReLU", (1, 256)),
        ("dense_2", "InnerProduct", (1, 128)),
        ("dense_2_relu", "ReLU", (1, 128)),
        ("dense_3", "InnerProduct", (1, 5)),
        ("prob", "Softmax", (1, 5)),
    ]


def test_it_has_the_numbers_of_the_package() -> None:
    net, mapping = generated("nsfwjs", NAME), tensor_maps(NAME, "keras")["keras-applications"]
    assert sum(node.parameter_count for node in net.nodes) == NUMBERS
    assert len(wanted_tensors(mapping)) == TENSORS
    wanted = {node.name: len(node.blob_shapes) for node in net.nodes if node.blob_shapes}
    assert {layer: len(sources) for layer, sources in mapping.layers.items()} == wanted
    assert mapping.reads_rgb
    assert mapping.conventions == load_index().network(NAME).conventions


def test_the_committed_prototxt_is_the_generators() -> None:
    path = load_index().network(NAME).prototxt
    assert (data_root() / path).read_text() == architectures()[path].build().to_prototxt()
