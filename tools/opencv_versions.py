"""Hold versions of OpenCV against each other: what they decode and resize differently, and whether the tests pass.

    python tools/opencv_versions.py [--version 4.9.0.80 ...] [--package opencv-python] [--tests]

Installs each version into a folder of its own (``build/opencv``; 100 MB each), lets each decode the same files and
resize the same pixels, and prints the largest difference to the last version named, in levels of 0..255, and how many
values differ. ``--tests`` also runs the tests of images with each. Exit status 1 if a version or a test fails.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # this checkout, not an installed caffezoo

from caffezoo.opencv import load_cv2

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("4.9.0.80", "4.10.0.84", "4.11.0.86", "4.12.0.88", "4.13.0.92", "5.0.0.93")
NUMPY = {"4.9.0.80": "numpy==1.26.4"}
"""Versions that were built for numpy 1 alone."""
TESTS = ("tests/evaluation/test_images.py", "tests/evaluation/test_crops.py", "tests/evaluation/test_image_objects.py")
TESTS += ("tests/zoo/test_preprocessing.py",)
PROBE = """
import os, sys, json
os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(1 << 26)
import cv2, numpy as np
cv2.setNumThreads(1)
folder, out = sys.argv[1:]
found = {}
for name in sorted(os.listdir(folder)):
    if not name.endswith(".npy"):
        image = cv2.imread(os.path.join(folder, name), cv2.IMREAD_COLOR)
        found["decode " + name] = image if image is not None else np.zeros(0, np.uint8)
pixels = np.load(os.path.join(folder, "pixels.npy"))
for name in ("LINEAR", "CUBIC", "AREA", "LANCZOS4", "NEAREST"):
    for size in ((256, 341), (113, 77), (640, 480)):
        resized = cv2.resize(pixels, size, interpolation=getattr(cv2, "INTER_" + name))
        found[f"resize {name.lower()} 500x375 to {size[0]}x{size[1]}"] = resized
found["grey"] = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
np.savez(out, **found)
print(json.dumps({"cv2": cv2.__version__, "numpy": np.__version__}))
"""


def write_files(folder: Path) -> None:
    """Write images of every kind that people have, by the cv2 of this Python: all versions read the same bytes."""
    cv2 = load_cv2()
    rng = np.random.default_rng(0)
    smooth = cv2.resize(rng.integers(0, 256, (24, 32, 3), np.uint8), (500, 375), interpolation=cv2.INTER_CUBIC)
    pixels = np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)
    np.save(folder / "pixels.npy", pixels)
    jpeg = {
        "420": [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420],
        "422": [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422],
        "444": [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444],
        "progressive": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
    }
    for name, flags in jpeg.items():
        cv2.imwrite(str(folder / f"{name}.jpg"), pixels, [cv2.IMWRITE_JPEG_QUALITY, 90, *flags])
    cv2.imwrite(str(folder / "grey.jpg"), pixels[..., 0])
    cv2.imwrite(str(folder / "8-bit.png"), pixels)
    cv2.imwrite(str(folder / "grey.png"), pixels[..., 0])
    cv2.imwrite(str(folder / "16-bit.png"), pixels.astype(np.uint16) * 257)
    cv2.imwrite(str(folder / "alpha.png"), np.dstack([pixels, pixels[..., :1]]))
    cv2.imwrite(str(folder / "lossy.webp"), pixels, [cv2.IMWRITE_WEBP_QUALITY, 90])
    for suffix in ("bmp", "tiff"):
        cv2.imwrite(str(folder / f"plain.{suffix}"), pixels)
    # The same JPEG with an EXIF block that says: rotate by 90 degrees (orientation 6).
    body = (folder / "420.jpg").read_bytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    (folder / "rotated.jpg").write_bytes(body[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + body[2:])


def installed(package: str, version: str, folder: Path) -> Path:
    """Return the folder of a version, installing it first."""
    target = folder / f"{package}-{version}"
    if not (target / "cv2").is_dir():
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target)]
        subprocess.run([*command, f"{package}=={version}", *filter(None, [NUMPY.get(version)])], check=True)
    return target


def environment(place: Path) -> dict[str, str]:
    """Return this process's environment with a version of OpenCV before all others."""
    return {**os.environ, "PYTHONPATH": f"{place}{os.pathsep}{ROOT}"}


def probe(place: Path, images: Path, out: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Run one version over the images."""
    command = [sys.executable, "-c", PROBE, str(images), str(out)]
    done = subprocess.run(command, env=environment(place), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{place.name} fails:\n{done.stderr}")
    with np.load(out) as found:
        return json.loads(done.stdout), {name: found[name] for name in found.files}


def difference(one: np.ndarray, other: np.ndarray) -> str:
    """Say how far two results are apart."""
    if one.shape != other.shape:
        return f"shape {one.shape}, {other.shape}"
    apart = np.abs(one.astype(int) - other.astype(int))
    return f"{apart.max()} ({(apart > 0).mean():.2%})" if apart.any() else ""


def main() -> int:
    """Install, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="append", dest="versions", metavar="VERSION", help="may be repeated")
    parser.add_argument("--package", default="opencv-python-headless")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "opencv")
    parser.add_argument("--tests", action="store_true", help="also run the tests of images with each")
    options = parser.parse_args()
    versions = options.versions or list(VERSIONS)
    places = {version: installed(options.package, version, options.folder) for version in versions}
    with tempfile.TemporaryDirectory() as name:
        images = Path(name) / "images"
        images.mkdir()
        write_files(images)
        found = {v: probe(place, images, Path(name) / f"{v}.npz") for v, place in places.items()}
    last = versions[-1]
    rows = {v: {what: difference(x, found[last][1][what]) for what, x in found[v][1].items()} for v in versions}
    for version in versions:
        facts = found[version][0]
        print(f"{options.package} {version}: cv2 {facts['cv2']}, numpy {facts['numpy']}")
        told = {what: text for what, text in rows[version].items() if text}
        for what, text in told.items():
            print(f"    {what}: {text}")
        print(f"    {len(rows[version]) - len(told)} of {len(rows[version])} as {last}")
    failed = 0
    for version in versions if options.tests else ():
        command = [sys.executable, "-m", "pytest", "-q", "-n0", *TESTS]
        done = subprocess.run(command, cwd=ROOT, env=environment(places[version]), capture_output=True, text=True)
        print(f"{options.package} {version}: {done.stdout.strip().splitlines()[-1]}")
        if done.returncode:
            print(done.stdout)
            failed += 1
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
