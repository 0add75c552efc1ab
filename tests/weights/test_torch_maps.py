"""Every torch map is complete: its layers are the prototxt's, its tensors those that the source models have.

torch_tensors.json.xz holds names and shapes of every tensor of the source models, as tools/record_parity.py found them
in torchvision, timm and pretrainedmodels; docs/parity.md says in which versions.
"""

from __future__ import annotations

import json
import lzma
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from caffezoo.errors import SourceError
from caffezoo.net.graph import Network
from caffezoo.weights.convert import READERS, convert_state_dict
from caffezoo.weights.schemes import choose_scheme, faults, maps_of
from caffezoo.zoo.architectures.registry import architectures
from caffezoo.zoo.resources import data_root
from caffezoo.zoo.tensor_map import DIFFERENCES, mapped_networks, refusal, tensor_maps

RECORDED: dict[str, list[tuple[str, list[int]]]] = json.loads(
    lzma.decompress((Path(__file__).parent / "torch_tensors.json.xz").read_bytes())
)
PATHS = {found.name: path for path, found in architectures().items()}
SCHEMES = [(n, s) for n in mapped_networks("torch") for s in tensor_maps(n, "torch")]
MODELS = [
    (n, s, model) for n in mapped_networks("torch") for s, m in tensor_maps(n, "torch").items() for model in m.models
]
RUN = [combination for combination in MODELS if combination[2] in RECORDED]


@cache
def network(name: str) -> Network:
    return Network.load(data_root() / PATHS[name])


@pytest.mark.parametrize(("name", "scheme"), SCHEMES)
def test_every_blob_has_a_source(name, scheme):
    mapping = tensor_maps(name, "torch")[scheme]
    wanted = {node.name: len(node.blob_shapes) for node in network(name).nodes if node.blob_shapes}
    assert {layer: len(sources) for layer, sources in mapping.layers.items()} == wanted
    tensors = [s.tensor for sources in mapping.layers.values() for s in sources if s.tensor and not s.changes]
    assert len(tensors) == len(set(tensors))
    assert set(mapping.differences) <= set(DIFFERENCES)
    assert mapping.fingerprint == tensor_maps(name, "torch")[scheme].fingerprint


@pytest.mark.parametrize(("name", "scheme", "model"), RUN)
def test_names_are_the_models(name, scheme, model):
    mapping = tensor_maps(name, "torch")[scheme]
    assert faults(dict(RECORDED[model]), mapping) == ([], [])


def test_recorded_models_cover_every_family():
    families = {PATHS[name].split("/")[1] for name, _, _ in RUN}
    assert families >= {"dpn", "senet", "inception", "xception", "resnext", "wide-resnet", "densenet", "vgg", "resnet"}
    assert sum(len(v) for v in RECORDED.values()) > 10_000


def smallest_of_each_family() -> list[tuple[str, str, str]]:
    chosen: dict[str, tuple[int, tuple[str, str, str]]] = {}
    for combination in RUN:
        size = sum(int(np.prod(shape)) for _, shape in RECORDED[combination[2]])
        family = PATHS[combination[0]].split("/")[1]
        if size < chosen.get(family, (1 << 40,))[0]:
            chosen[family] = (size, combination)
    return [combination for size, combination in chosen.values() if size < 60_000_000]


@pytest.mark.parametrize(("name", "scheme", "model"), smallest_of_each_family())
def test_shapes_are_the_models(name, scheme, model):
    state = {tensor: np.broadcast_to(np.float32(1), shape) for tensor, shape in RECORDED[model]}
    blobs, report = convert_state_dict(state, tensor_maps(name, "torch")[scheme], network(name))
    assert report.tensors_read == len(state)
    assert [tuple(b.shape for b in blobs[n.name]) for n in network(name).nodes if n.blob_shapes] == [
        n.blob_shapes for n in network(name).nodes if n.blob_shapes
    ]
    assert all(fnmatchcase(tensor, "*.num_batches_tracked") for tensor in report.unused)


@pytest.mark.parametrize(("name", "scheme", "model"), RUN)
def test_the_scheme_is_found_by_names(name, scheme, model):
    maps = tensor_maps(name, "torch")
    state = dict(RECORDED[model])
    if maps[scheme].explicit:
        with pytest.raises(Exception, match=f"--scheme {scheme}"):
            choose_scheme(name, maps, state, None, where="f")
    else:
        assert choose_scheme(name, maps, state, None, where="f") == scheme
    assert choose_scheme(name, maps, state, scheme, where="f") == scheme


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("resnet50", "3x3"),
        ("resnet152", "3x3"),
        ("squeezenet-v1.0", "conv10"),
        ("mobilenet-v2", "ReLU6"),
        ("alexnet", "another network"),
        ("googlenet", "another network"),
        ("inception-v1-tf", "2x2"),
        ("inception-v3", "maximum"),
    ],
)
def test_not_offered(name, reason):
    assert reason in (refusal(name, "torch") or "")
    with pytest.raises(SourceError, match=f"cannot become {name}'s exactly"):
        maps_of(name, "torch", READERS)
