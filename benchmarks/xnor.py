"""Does a convolution of bits beat int8? A bit-packed XNOR-popcount convolution in numpy against OpenVINO's, one thread.

    python benchmarks/xnor.py [--rounds N]

3x3, 256 to 256 channels on 13x13, without padding: a layer of the binary AlexNet. Both get ±1; the bits give the
integers of the float convolution exactly. Figures are medians of this process's CPU time. Exit status 1 if the
integers differ.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

CHANNELS, SIDE, KERNEL = 256, 13, 3
WORD = 64


def packed(signs: np.ndarray) -> np.ndarray:
    """Return the last axis of ±1 as 64-bit words, a bit a value."""
    return np.packbits(signs > 0, axis=-1).view(np.uint64)


def xnor_convolution(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the convolution of packed ±1 without padding.

    Parameters
    ----------
    x : array (H, W, words)
    weights : array (out, kernel, kernel, words)

    Returns
    -------
    int32 array (out, H - kernel + 1, W - kernel + 1)
        The number of equal signs less that of different ones.
    """
    out, kernel, _, words = weights.shape
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), (0, 1))
    height, width = windows.shape[:2]
    rows = windows.transpose(0, 1, 3, 4, 2).reshape(height * width, kernel * kernel * words)
    flat = weights.reshape(out, -1)
    found = np.empty((out, height * width), np.int32)
    for i, row in enumerate(flat):
        found[i] = np.bitwise_count(rows ^ row).sum(1, dtype=np.int32)
    return (kernel * kernel * words * WORD - 2 * found).reshape(out, height, width)


def openvino_convolution(weights: np.ndarray) -> tuple[Callable[[np.ndarray], np.ndarray], str]:
    """Return OpenVINO's convolution on quantised ±1, and the type that it computes in."""
    import openvino
    from openvino import opset13 as ops

    parameter = ops.parameter((1, CHANNELS, SIDE, SIDE), np.float32)
    limits = [np.array(v, np.float32) for v in (-1, 1, -1, 1)]
    x = ops.fake_quantize(parameter, *limits, levels=255)
    w = ops.fake_quantize(ops.constant(weights.astype(np.float32)), *limits, levels=255)
    y = ops.convolution(x, w, [1, 1], [0, 0], [0, 0], [1, 1])
    model = openvino.Model([y], [parameter])
    options = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(model, "CPU", options)
    kinds = {
        n.get_rt_info()["runtimePrecision"].astype(str)
        for n in compiled.get_runtime_model().get_ops()
        if n.get_rt_info()["layerType"].astype(str) == "Convolution"
    }
    return lambda image: compiled(image)[0][0], ", ".join(sorted(kinds))


def median_ms(run: Callable[[], object], rounds: int) -> float:
    """Return the median CPU time of a call, ms."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        run()
        times.append(1e3 * (time.process_time() - start))
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    rng = np.random.default_rng(0)
    x = rng.choice(np.array([-1, 1], np.int8), (CHANNELS, SIDE, SIDE))
    weights = rng.choice(np.array([-1, 1], np.int8), (CHANNELS, CHANNELS, KERNEL, KERNEL))
    image = x[None].astype(np.float32)
    words = packed(np.ascontiguousarray(weights.transpose(0, 2, 3, 1)))
    run, kind = openvino_convolution(weights)

    def bits() -> np.ndarray:
        return xnor_convolution(packed(np.ascontiguousarray(x.transpose(1, 2, 0))), words)

    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float32), (KERNEL, KERNEL), (1, 2))
    wanted = np.einsum("chwij,ocij->ohw", windows, weights.astype(np.float32), optimize=True)
    same = np.array_equal(bits(), wanted)
    print(f"bits, numpy      {median_ms(bits, rounds):.2f} ms")
    print(f"OpenVINO, {kind:<6} {median_ms(lambda: run(image), rounds):.2f} ms")
    error = float(np.abs(run(image) - wanted).max())
    print(f"OpenVINO's largest error: {error:.2g} of integers up to {abs(wanted).max():.0f}")
    print("the bits give the float convolution's integers" if same else "THE BITS GIVE OTHER INTEGERS")
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
