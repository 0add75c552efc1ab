"""The index: finding networks, merging a user's file, faults with their places, the cache, the speed."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from caffezoo.errors import IndexFileError, UnknownNameError, UsageError
from caffezoo.zoo.index import Index, fold, load_index
from caffezoo.zoo.merging import checked_tables, merged
from caffezoo.zoo.resources import data_root

SMALL = """\
version: 1
sources:
  us: {title: we}
families:
  f:
    title: F
    defaults:
      input: {size: 8}
      preprocessing:
        mean: [1, 2, 3]
        std: [1, 1, 1]
        small: {base_size: 9, crop_size: 8}
        source: us
      labels: {order: 2012, classes: 1000}
      origin: {project: us}
networks:
  net-1:
    family: f
    aliases: [one]
    prototxt: a/net-1.prototxt
    weights:
      - {scheme: file, path: /x, format: caffemodel, state: unknown, source: us}
      - {scheme: https, url: "http://x/y", format: torch, state: unknown, source: us}
  net-2:
    family: f
    prototxt: a/net-2.prototxt
    preprocessing: {small: {base_size: 16}}
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CAFFEZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CAFFEZOO_INDEX", raising=False)
    return tmp_path / "cache"


def small(*changes: tuple[str, str]) -> Index:
    text = SMALL
    for old, new in changes:
        assert text.count(old) >= 1, old
        text = text.replace(old, new, 1)
    tables = checked_tables([("z.yaml", text.encode())])
    return Index(tables["sources"], tables["families"], tables["networks"])


def test_a_network_takes_the_rest_from_its_family() -> None:
    index = small()
    assert index.network("net-1").preset().crop_size == (8, 8)
    assert index.network("net-2").preprocessing.small.base_size == 16
    assert index.network("net-2").preprocessing.small.crop_size == 8
    assert index.network("net-2").preprocessing.mean == (1, 2, 3)


@pytest.mark.parametrize(
    ("old", "new", "where", "message"),
    [
        ("    aliases: [one]", "    colour: red", "z.yaml:19: in network 'net-1'", "key 'colour' is unknown"),
        ("    prototxt: a/net-2.prototxt\n", "", "z.yaml:24: in network 'net-2'", "key 'prototxt' is missing"),
        ("    family: f", "    family: g", "z.yaml:18: in network 'net-1'", "unknown family 'g'"),
        ("    family: f\n", "", "z.yaml:17: in network 'net-1'", "key 'family' is missing"),
        ("base_size: 16", "base_size: 4", "z.yaml:27: in network 'net-2': in preprocessing", "crop_size 8 is larger"),
        ("base_size: 9", "base_size: 7", "z.yaml:12: in network 'net-1': in preprocessing", "larger than base_size 7"),
        (
            "base_size: 16",
            "base_size: sixteen",
            "z.yaml:27: in network 'net-2': in preprocessing: in small",
            "base_size",
        ),
        ("base_size: 16", 'base_size: "16"', "z.yaml:27: in network 'net-2': in preprocessing: in small", "integer"),
        ("base_size: 16", "base_size: -1", "z.yaml:27: in network 'net-2': in preprocessing: in small", "base_size"),
        ("std: [1, 1, 1]", "std: [1, 0, 1]", "z.yaml:11: in network 'net-1': in preprocessing: in std[1]", "greater"),
        (
            "std: [1, 1, 1]",
            "std: [1, 1]",
            "z.yaml:11: in network 'net-1': in preprocessing",
            "std: must be three values",
        ),
        ("mean: [1, 2, 3]", "mean: [1, 2, 300]", "z.yaml:10: in network 'net-1'", "255"),
        ("order: 2012", "order: 2013", "z.yaml:14: in network 'net-1': in labels", "order"),
        ("classes: 1000", "classes: 10", "z.yaml:14: in network 'net-1': labels", "1000 classes, not 10"),
        ("source: us}\n  net-2", "source: them}\n  net-2", "in weights[1]", "source: unknown source 'them'"),
        (
            'url: "http://x/y"',
            'url: "http://x/y", sha256: abc',
            "z.yaml:23: in network 'net-1': in weights[1]",
            "sha256",
        ),
        ('url: "http://x/y"', 'url: "http://x/y", sha1: 12', "z.yaml:23: in network 'net-1': in weights[1]", "sha1"),
        ("scheme: file, path: /x", "scheme: file", "z.yaml:22: in network 'net-1': in weights[0]", "needs `path`"),
        ("scheme: file, path: /x", "scheme: ftp", "z.yaml:22: in network 'net-1': in weights[0]", "scheme"),
        ("state: unknown", "state: reported-dead", "z.yaml:22: in network 'net-1': in weights[0]", "reported"),
        ("state: unknown", "state: never-published", "z.yaml:22: in network 'net-1': in weights[0]", "no scheme"),
        ("aliases: [one]", "aliases: [one, NET_2]", "z.yaml:24: in network 'net-2'", "already 'NET_2' of network"),
        ("aliases: [one]", "aliases: [one, one]", "z.yaml:19: in network 'net-1'", "already 'one'"),
        ("aliases: [one]", "name: other", "z.yaml:19: in network 'net-1'", "key 'name' is unknown"),
        ("version: 1", "version: 2", "z.yaml:1", "version"),
        ("networks:", "networks: 3\nnets:", "z.yaml:16", "networks: "),
        ("    title: F\n", "", "z.yaml:5: in families: in f", "key 'title' is missing"),
        ("title: we", "titel: we", "z.yaml:3: in sources: in us", "is missing"),
        ("  net-2:", "  net 2:", "z.yaml:24: in networks", "net 2"),
        ("    title: F", "    title: &a F", "z.yaml:6", "anchor"),
    ],
)
def test_a_fault_is_named_with_its_place(old: str, new: str, where: str, message: str) -> None:
    with pytest.raises(IndexFileError) as caught:
        small((old, new))
    assert where in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_message_says_file_line_context_and_fault() -> None:
    with pytest.raises(IndexFileError) as caught:
        small(('url: "http://x/y"', 'url: "http://x/y", sha256: f00'))
    expected = "z.yaml:23: in network 'net-1': in weights[1]: sha256: must be 64 hex digits in lower case, not 'f00'"
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    "text", ["3", "[1]", "version: 1\nnetworks: [1]", "version: 1\nnetworks: {a: 1}", "networks: {}"]
)
def test_no_index(text: str) -> None:
    with pytest.raises(IndexFileError, match=r"z\.yaml"):
        checked_tables([("z.yaml", text.encode())])


def test_variant_spellings() -> None:
    index = load_index()
    for spelling, name in [
        ("dpn92", "dpn-92"), ("DPN_92", "dpn-92"), ("senet-154", "senet"), ("senet154", "senet"),
        ("se_resnet50", "se-resnet50"), ("resnet50-msra", "resnet50"), ("vgg16-bn-pytorch", "vgg16bn-pytorch"),
        ("bvlc_alexnet", "alexnet"), ("squeezenet1.1", "squeezenet-v1.1"), ("efficientnet_lite0", "efficientnet-lite0"),
    ]:  # fmt: skip
        assert index.network(spelling).name == name
        assert spelling in index
    assert "resnet51" not in index


def test_an_unknown_name_carries_the_three_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        load_index().network("dpn-93")
    assert caught.value.exit_status == 2
    assert len(caught.value.nearest) == 3
    assert "dpn-92" in caught.value.nearest


def test_patterns_and_families() -> None:
    index = load_index()
    assert set(index.names("se-*")) == {
        "se-inception-v2", "se-resnet50", "se-resnet50-hik", "se-resnet101", "se-resnet152", "se-resnext50-32x4d",
        "se-resnext101-32x4d", "senet",
    }  # fmt: skip
    assert index.names("SENET-154") == ["senet"]
    assert [entry.name for entry in index.list("*", "wide-resnet")] == ["wrn50-2"]
    assert index.names("nothing*") == []
    with pytest.raises(UnknownNameError, match="did you mean dpn"):
        index.names("*", "dpm")


def test_the_built_in_index_is_whole() -> None:
    index = load_index()
    entries = index.list()
    assert len(entries) >= 110
    paths = [entry.prototxt for entry in entries]
    shared = {path for path in paths if paths.count(path) > 1}
    assert shared == {"prototxt/mobilenet/deploy_mobilenet-v1-1.0.prototxt"}
    for entry in entries:
        assert entry.weights, entry.name
        assert (data_root() / entry.prototxt).is_file(), entry.prototxt
        assert entry.preset("small").crop_size <= entry.preset("small").base_size
    assert {e.name for e in entries if e.labels.order == 2015} == {
        "inception-v3", "se-inception-v2", "se-resnet50", "se-resnet101", "se-resnet152", "se-resnext50-32x4d",
        "se-resnext101-32x4d", "senet",
    }  # fmt: skip
    used = {s for e in entries for s in _sources(e.model_dump())}
    families = {s for f in index.families.values() for s in _sources(f)}
    assert used | families == set(index.sources)


def _sources(node: object) -> set[str]:
    if isinstance(node, dict):
        own = {node["source"]} if isinstance(node.get("source"), str) else set()
        return own.union(*(_sources(v) for v in node.values()))
    if isinstance(node, list | tuple):
        return set().union(*(_sources(v) for v in node))
    return set()


def test_input_sizes_are_the_prototxts_own() -> None:
    for entry in load_index().list():
        declared = re.search(r"dim: \d+ dim: 3 dim: (\d+) dim: (\d+)", entry.prototxt_path.read_text()[:2000])
        assert declared is not None, entry.name
        assert declared.groups() == (str(entry.input.size),) * 2, entry.name


def test_no_large_preset() -> None:
    with pytest.raises(UsageError, match="no preset 'large'"):
        load_index().network("vgg16").preset("large")


def test_published_figures() -> None:
    entry = load_index().network("dpn92")
    assert entry.headline is not None
    assert (entry.headline.error(1), entry.headline.error(5)) == (20.81, 5.47)
    keras = load_index().network("keras-vgg16").headline
    assert keras is not None
    assert keras.error(1) == 28.7


OWN = """\
version: 1
sources: {me: {title: me}}
networks:
  dpn-92:
    weights: [{scheme: file, path: /my/dpn92.caffemodel, format: caffemodel, state: available, source: me}]
    preprocessing: {note: mine}
  my-net:
    family: dpn
    prototxt: my.prototxt
"""


def test_a_users_file_is_merged_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(OWN)
    (tmp_path / "my.prototxt").write_text('name: "x"')
    for _ in range(2):  # checked, then from the cache
        index = load_index(own)
        entry = index.network("dpn92")
        assert [w.path for w in entry.weights] == ["/my/dpn92.caffemodel"]
        assert (entry.preprocessing.note, entry.preprocessing.mean) == ("mine", (104, 117, 124))
        assert index.network("my-net").prototxt_path == tmp_path / "my.prototxt"
        assert index.network("my-net").preprocessing.mean == (104, 117, 124)
    assert "my-net" not in load_index()
    monkeypatch.setenv("CAFFEZOO_INDEX", str(own))
    assert "my-net" in load_index()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("prototxt: my.prototxt", "prototxt: other.prototxt", "own.yaml: in network 'my-net': prototxt: no such file"),
        ("my-net:", "dpn92:", "own.yaml:7: in network 'dpn92': name or alias 'dpn92' is already 'dpn-92'"),
        ("state: available", "state: here", "own.yaml:5: in network 'dpn-92': in weights[0]: state:"),
        ("note: mine", "small: {crop_size: 300}", "own.yaml:6: in network 'dpn-92': in preprocessing"),
    ],
)
def test_faults_of_a_users_file(tmp_path: Path, old: str, new: str, message: str) -> None:
    own = tmp_path / "own.yaml"
    assert old in OWN
    own.write_text(OWN.replace(old, new))
    (tmp_path / "my.prototxt").write_text('name: "x"')
    with pytest.raises(IndexFileError) as caught:
        load_index(own)
    assert message in str(caught.value)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(IndexFileError, match=r"nothing\.yaml: cannot be read"):
        load_index(tmp_path / "nothing.yaml")
    with pytest.raises(IndexFileError, match="cannot be read"):
        load_index(tmp_path)


def test_the_cache_is_used_and_a_broken_one_is_not_believed(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_index()
    (file,) = (own_cache / "index").glob("*.json")
    kept = json.loads(file.read_text())
    kept["networks"]["dpn-92"]["note"] = "from the cache"
    file.write_text(json.dumps(kept))
    assert load_index().network("dpn-92").note == "from the cache"
    for broken in (b"", b"{", b"[]", b'{"networks": {}}', b"\xff"):
        file.write_bytes(broken)
        assert list(load_index()) == list(first)
    blocked = own_cache.parent / "blocked"
    blocked.write_text("a file, no folder")
    monkeypatch.setenv("CAFFEZOO_CACHE", str(blocked))
    assert list(load_index()) == list(first)


def test_loading_and_checking_all_takes_less_than_150_ms() -> None:
    content = (data_root() / "zoo_index.yaml").read_bytes()

    def seconds() -> float:
        start = time.process_time()
        checked_tables([("zoo_index.yaml", content)])
        return time.process_time() - start

    assert min(seconds() for _ in range(5)) < 0.15


def test_merging_replaces_lists() -> None:
    assert merged({"a": {"b": 1, "c": [1, 2]}, "d": 1}, {"a": {"c": [3]}}) == {"a": {"b": 1, "c": [3]}, "d": 1}


def test_fold() -> None:
    assert fold("SE_ResNeXt-50 v1.1") == "seresnext50v11"
