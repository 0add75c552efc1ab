"""Which blob holds a classifier's scores, and whether they are probabilities."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.engines.seeding import seeded_inputs, seeded_weights
from caffezoo.errors import NetworkError, UnknownNameError
from caffezoo.net.graph import Network
from caffezoo.net.onnx_graph import to_onnx
from caffezoo.net.scores import classifier_head, with_scores
from caffezoo.zoo.index import load_index
from tests.oracle import caffe_outputs, onnx_outputs, requires_caffe

TRUNK = """name: "net"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
"""
FC = 'layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 5 } }\n'
MAP = FC.replace("InnerProduct", "Convolution").replace(
    "inner_product_param { num_output: 5", "convolution_param { num_output: 5 kernel_size: 1"
)
PROB = 'layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }\n'
SIGMOID = 'layer { name: "sig" type: "Sigmoid" bottom: "fc" top: "sig" }\n'
POOL = (
    'layer { name: "pool" type: "Pooling" bottom: "%s" top: "pool" pooling_param { pool: %s global_pooling: true } }\n'
)


def then(type, bottom, top, param=""):
    return f'layer {{ name: "{type}_{top}" type: "{type}" bottom: "{bottom}" top: "{top}" {param} }}\n'


HEADS = {
    "logits": (FC, "fc", "logits"),
    "softmax": (FC + PROB, "prob", "probabilities"),
    "flatten": (FC + PROB + then("Flatten", "prob", "out"), "out", "probabilities"),
    "reshape": (
        FC + PROB + then("Reshape", "prob", "out", "reshape_param { shape { dim: 0 dim: 5 dim: 1 } }"),
        "out",
        "probabilities",
    ),
    "dropout": (FC + PROB + then("Dropout", "prob", "prob"), "prob", "probabilities"),
    "softmax in place": (FC + then("Softmax", "fc", "fc"), "fc", "probabilities"),
    "average of positions": (MAP + PROB + POOL % ("prob", "AVE"), "pool", "probabilities"),
    "average of logits": (MAP + POOL % ("fc", "AVE"), "pool", "logits"),
    "mean of two heads": (
        FC
        + PROB
        + 'layer { name: "mean" type: "Eltwise" bottom: "prob" bottom: "prob" top: "mean" '
        + "eltwise_param { coeff: 0.5 coeff: 0.5 } }",
        "mean",
        "probabilities",
    ),
    "sum of two heads": (
        FC + PROB + 'layer { name: "sum" type: "Eltwise" bottom: "prob" bottom: "prob" top: "sum" }',
        "sum",
        "unknown",
    ),
    "maximum of positions": (MAP + PROB + POOL % ("prob", "MAX"), "pool", "unknown"),
    "softmax of another axis": (
        FC
        + then("Reshape", "fc", "row", "reshape_param { shape { dim: 0 dim: 1 dim: 5 } }")
        + then("Softmax", "row", "ones")
        + then("Flatten", "ones", "out"),
        "out",
        "unknown",
    ),
    "scaled softmax": (FC + PROB + then("Power", "prob", "out", "power_param { scale: 100 }"), "out", "unknown"),
    "sigmoid": (FC + SIGMOID, "sig", "sigmoid"),
    "sigmoid, flattened": (FC + SIGMOID + then("Flatten", "sig", "out"), "out", "sigmoid"),
    "one sigmoid": (FC.replace("5", "1") + SIGMOID, "sig", "sigmoid"),
    "one logit": (FC.replace("5", "1"), "fc", "unknown"),
    "a gate before the classifier": (then("Sigmoid", "conv", "conv") + FC, "fc", "logits"),
}


@pytest.mark.parametrize("name", HEADS)
def test_what_the_scores_are(name):
    text, blob, kind = HEADS[name]
    head = classifier_head(Network.from_text(TRUNK + text))
    assert (head.blob, head.kind, head.layer) == (blob, kind, "fc")
    assert head.classes == (1 if "one" in name else 5)
    assert bool(head.notes) == (kind == "unknown")


def weighted(text):
    network = Network.from_text(TRUNK + text)
    weights = {n.name: [np.float32(0.1) * b for b in seeded_weights_of(n)] for n in network.nodes if n.blob_shapes}
    return network.with_weights(weights)


def seeded_weights_of(node):
    rng = np.random.default_rng(len(node.name))
    return [rng.normal(size=shape).astype(np.float32) for shape in node.blob_shapes]


@requires_caffe
@pytest.mark.parametrize("name", HEADS)
def test_shown_scores_are_caffes_own_and_sum_to_one_where_they_are_probabilities(name):
    """What is shown is Caffe's blob as it stands; only logits get a Softmax, once."""
    text, blob, kind = HEADS[name]
    network = weighted(text)
    x = {"data": np.random.default_rng(1).normal(0, 3, network.inputs["data"]).astype(np.float32)}
    theirs = caffe_outputs(TRUNK + text, network.weights, x, [blob])[blob].reshape(2, -1)
    shown, head = with_scores(network)
    found = onnx_outputs(to_onnx(shown, outputs=[head.blob]), x)
    if kind == "logits":
        powers = np.exp(theirs - theirs.max(1, keepdims=True))
        theirs = powers / powers.sum(1, keepdims=True)
    for scores in found.values():
        np.testing.assert_allclose(scores[head.blob].reshape(2, -1), theirs, rtol=1e-4, atol=1e-6)
    if kind in ("logits", "probabilities"):
        np.testing.assert_allclose(theirs.sum(1), 1, rtol=1e-5)


AUX = """
layer { name: "aux/fc" type: "InnerProduct" bottom: "conv" top: "aux/fc" inner_product_param { num_output: 5 } }
layer { name: "aux/out" type: "Softmax" bottom: "aux/fc" top: "aux/out" }
"""
MAIN = """
layer { name: "conv2" type: "Convolution" bottom: "conv" top: "conv2"
  convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "main/fc" type: "InnerProduct" bottom: "conv2" top: "main/fc" inner_product_param { num_output: 5 } }
layer { name: "main/out" type: "Softmax" bottom: "main/fc" top: "main/out" }
"""


@pytest.mark.parametrize("text", [MAIN + AUX, AUX + MAIN], ids=["auxiliary last", "auxiliary first"])
def test_the_auxiliary_head_is_not_taken(text):
    head = classifier_head(Network.from_text(TRUNK + text))
    assert (head.blob, head.logits, head.layer, head.decided) == ("main/out", "main/fc", "main/fc", True)
    assert set(head.candidates) == {"main/out", "aux/out"}
    assert head.notes == (
        "scores are taken from 'main/out' (most layers with weights lie below it), not from 'aux/out'",
    )


def test_a_blob_that_is_asked_for():
    network = Network.from_text(TRUNK + MAIN + AUX)
    assert classifier_head(network, "aux/out").blob == "aux/out"
    assert classifier_head(network, "aux/fc").kind == "logits"
    longer, head = with_scores(network, "aux/fc")
    assert (head.blob, head.kind) == ("aux/fc_softmax", "probabilities")
    assert longer.shape("aux/fc_softmax") == (2, 5)
    with pytest.raises(UnknownNameError, match="did you mean"):
        classifier_head(network, "aux/ot")
    with pytest.raises(NetworkError, match=r"'conv' of shape .* is not one score a class"):
        classifier_head(network, "conv")


def test_heads_that_are_alike_are_told():
    two = AUX + AUX.replace("aux", "b")
    head = classifier_head(Network.from_text(TRUNK + two))
    assert (head.blob, head.decided) == ("b/out", False)
    (note,) = head.notes
    assert "nothing tells it from 'aux/out'" in note
    assert "--output" in note


TRAIN_VAL = """name: "tv"
layer { name: "data" type: "ImageData" top: "data" top: "label" transform_param { crop_size: 8 }
  image_data_param { source: "list.txt" batch_size: 2 new_height: 9 new_width: 9 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 } }
"""
JUDGED = """
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""


def test_a_training_file_scores_what_its_loss_reads():
    network, head = with_scores(Network.from_text(TRAIN_VAL + FC + JUDGED))
    assert (head.blob, head.kind, head.candidates) == ("fc_softmax", "probabilities", ("fc_softmax",))
    assert network.inputs == {"data": (2, 3, 8, 8)}
    assert network.outputs == ("fc_softmax",)


def test_a_segmentation_net_has_no_scores():
    with pytest.raises(NetworkError, match="is not one score a class; outputs are fc; check the input size"):
        classifier_head(Network.from_text(TRUNK + MAP))
    with pytest.raises(NetworkError, match="has no output"):
        classifier_head(Network.from_text(TRUNK + then("Silence", "conv", "x").replace('top: "x"', "")))


@given(st.lists(st.sampled_from(["Flatten", "Dropout", "Reshape", "Split", "Permute"]), max_size=5), st.booleans())
def test_whatever_moves_values_leaves_probabilities(kinds, softmax):
    """Drawn chains behind a Softmax, or behind none: the kind stays that of their source."""
    params = {
        "Reshape": "reshape_param { shape { dim: 0 dim: 5 dim: 1 } }",
        "Permute": "permute_param { order: 0 order: 1 }",
    }
    text, blob = FC + (PROB if softmax else ""), "prob" if softmax else "fc"
    for i, kind in enumerate(kinds):
        text += then(kind, blob, f"b{i}", params.get(kind, ""))
        blob = f"b{i}"
    head = classifier_head(Network.from_text(TRUNK + text))
    assert (head.blob, head.kind) == (blob, "probabilities" if softmax else "logits")
    assert head.logits == ("fc" if softmax else blob)


def test_the_zoos_own_heads_are_the_outputs_they_have_always_been():
    index = load_index()
    for name in index.names("*"):
        if index.network(name).task != "classification":
            continue
        network = Network.load(index.network(name).prototxt_path)
        head = classifier_head(network)
        assert head.blob == ("prob" if "prob" in network.outputs else network.outputs[-1]), name
        assert head.kind in ("probabilities", "logits"), name
        assert head.layer == [node.name for node in network.nodes if node.blob_shapes][-1], name
        assert head.decided, name
        assert bool(head.notes) == (len(head.candidates) > 1), name


def test_seeded_exponents_are_measured_at_the_head():
    """The classifier's logits are scaled for the classifier, wherever it stands in the file."""
    network = Network.from_text(TRUNK + MAIN + AUX)
    weights, _ = seeded_weights(network)
    x = seeded_inputs(network)
    found = onnx_outputs(to_onnx(network.with_weights(weights), outputs=["main/fc"]), x)
    assert all(0.9 < scores["main/fc"].std() < 2.1 for scores in found.values())
