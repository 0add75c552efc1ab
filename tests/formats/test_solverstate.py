"""Solver states: written and read again, binary and HDF5, and what is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from caffezoo.errors import WeightsFileError
from caffezoo.formats import solver_pb2 as pb
from caffezoo.formats.solverstate import SolverState, read_solverstate, write_solverstate

STATE = SolverState(7, "a/b_iter_7.caffemodel", (np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(1)), 2)


def assert_equal(found: SolverState, wanted: SolverState) -> None:
    assert (found.iteration, found.learned_net, found.current_step) == (
        wanted.iteration,
        wanted.learned_net,
        wanted.current_step,
    )
    assert len(found.history) == len(wanted.history)
    for a, b in zip(found.history, wanted.history, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("hdf5", [False, True])
def test_a_state_comes_back(tmp_path, hdf5):
    if hdf5:
        pytest.importorskip("h5py")
    write_solverstate(tmp_path / "s", STATE, hdf5=hdf5)
    assert_equal(read_solverstate(tmp_path / "s"), STATE)


@given(
    st.integers(0, 2**31 - 1),
    st.lists(arrays(np.float32, array_shapes(max_dims=4, max_side=4)), max_size=4),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
)
def test_what_protobuf_reads_of_it_is_the_same(tmp_path_factory, iteration, history, name):
    path = tmp_path_factory.getbasetemp() / "drawn.solverstate"
    state = SolverState(iteration, name, tuple(history))
    write_solverstate(path, state)
    message = pb.SolverState.FromString(path.read_bytes())
    assert (message.iter, message.learned_net, len(message.history)) == (iteration, name, len(history))
    for blob, array in zip(message.history, history, strict=True):
        assert tuple(blob.shape.dim) == array.shape
    assert_equal(read_solverstate(path), state)


def test_truncated_at_any_byte_it_is_refused_or_shorter(tmp_path):
    write_solverstate(tmp_path / "s", STATE)
    whole = (tmp_path / "s").read_bytes()
    for end in range(len(whole)):
        (tmp_path / "t").write_bytes(whole[:end])
        try:
            found = read_solverstate(tmp_path / "t")
        except WeightsFileError:
            continue
        assert len(found.history) < 2  # the end lies between two fields


@pytest.mark.parametrize("content", [b"<html><body>404</body></html>", b"PK\x03\x04aaaaaaaaaaaa", b"layer { }", b""])
def test_other_files_are_named(tmp_path, content):
    (tmp_path / "s").write_bytes(content)
    with pytest.raises(WeightsFileError):
        read_solverstate(tmp_path / "s")


def test_a_missing_file(tmp_path):
    with pytest.raises(WeightsFileError, match="no such solver state"):
        read_solverstate(tmp_path / "none")
