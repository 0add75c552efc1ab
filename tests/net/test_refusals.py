"""What real Caffe refuses and this package runs with a word."""

from __future__ import annotations

import pytest

from caffezoo.engines.caffe_process import CaffeProcess
from caffezoo.errors import CaffeAbortError
from caffezoo.net.graph import Network
from tests.oracle import oracle_python, requires_caffe

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 5 dim: 5 } } }\n'
TWO = "param { lr_mult: 1 } param { lr_mult: 2 }"
CONVOLUTION = INPUT + 'layer { name: "c" type: "Convolution" bottom: "x" top: "y" ' + TWO
SURPLUS = {
    "a bias that is not there": (
        CONVOLUTION + " convolution_param { num_output: 3 kernel_size: 3 bias_term: false } }",
        True,
    ),
    "a layer without blobs": (INPUT + f'layer {{ name: "c" type: "ReLU" bottom: "x" top: "y" {TWO} }}', True),
    "as many as blobs": (CONVOLUTION + " convolution_param { num_output: 3 kernel_size: 3 } }", False),
}


@pytest.mark.parametrize("case", SURPLUS)
def test_more_params_than_blobs(case: str) -> None:
    text, refused = SURPLUS[case]
    notes = [note for note in Network.from_text(text, path="n.prototxt").notes if "param for" in note]
    assert len(notes) == refused
    assert all("n.prototxt:2: layer 'c'" in note for note in notes)


@requires_caffe
@pytest.mark.parametrize("case", SURPLUS)
def test_real_caffe_refuses_them(case: str) -> None:
    text, refused = SURPLUS[case]
    with CaffeProcess(oracle_python(), threads=1) as caffe:
        if refused:
            with pytest.raises(CaffeAbortError, match="Too many params"):
                caffe.load(text)
        else:
            caffe.load(text)
