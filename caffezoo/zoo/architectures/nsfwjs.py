"""NSFWJS' classifier: Keras' InceptionV3 with a head of three fully connected layers and five classes.

Facts (names, widths, activations): ``modelTopology`` of ``dist/models/inception_v3/model.min.js`` in the npm package
``nsfwjs@4.4.0``, which Keras 2.2.4 wrote. The average that comes before the head is 8x8 there, the whole map at 299 px;
its Dropout layers do nothing at TEST and are left out. Images enter as RGB / 255.
"""

from __future__ import annotations

from caffezoo.zoo.architectures.keras_inception import inception_v3_features
from caffezoo.zoo.architectures.keras_registry import keras_architecture
from caffezoo.zoo.architectures.provenance import provenance
from caffezoo.zoo.keras_builder import KerasBuilder

SOURCE = "dist/models/inception_v3/model.min.js of the npm package nsfwjs@4.4.0"
HIDDEN = (256, 128)
CLASSES = 5


def inception_v3(size_px: int = 299) -> KerasBuilder:
    """Build the deploy network."""
    b = KerasBuilder("nsfwjs-inception-v3", provenance(SOURCE, "299"), size_px, mode="unit")
    x = inception_v3_features(b)
    for width in HIDDEN:
        fc = b.numbered("dense")
        x = b.relu(f"{fc}_relu", b.fc(fc, x, width))
    b.softmax("prob", b.fc(b.numbered("dense"), x, CLASSES))
    return b


keras_architecture("nsfwjs-inception-v3", inception_v3, by_order=False, directory="nsfwjs")
