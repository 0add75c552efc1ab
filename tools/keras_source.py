"""One Keras model with random weights: its weights files in all layouts, and its logits for one image.

    PYTHON tools/keras_source.py NETWORK FOLDER [--package keras-applications|keras|keras-squeezenet] [--path DIR]

Runs in an interpreter that has Keras and need not have this zoo; tools/record_parity_keras.py calls it. The package
``keras-applications`` is what published weights were written with and runs on tf.keras; DIR is put on the module path
before it, for another version of it. ``keras`` means ``keras.applications`` of Keras 3.

Kernels are drawn at random; one pass in training mode over noise then gives each BatchNormalization that noise's
statistics, so that no layer drowns another, and these are shaken, with gamma and beta, so that none is neutral.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import types
import warnings
from importlib.metadata import distributions, version
from pathlib import Path

import numpy as np

# By network: module and function of keras-applications; keras.applications has most of the same functions.
MODELS = {
    "keras-vgg16": ("vgg16", "VGG16"),
    "keras-vgg19": ("vgg19", "VGG19"),
    "keras-resnet50": ("resnet", "ResNet50"),
    "keras-resnet50-v0.2": ("resnet50", "ResNet50"),
    "keras-resnet101": ("resnet", "ResNet101"),
    "keras-resnet152": ("resnet", "ResNet152"),
    "keras-resnet50v2": ("resnet_v2", "ResNet50V2"),
    "keras-resnet101v2": ("resnet_v2", "ResNet101V2"),
    "keras-resnet152v2": ("resnet_v2", "ResNet152V2"),
    "keras-resnext50": ("resnext", "ResNeXt50"),
    "keras-resnext101": ("resnext", "ResNeXt101"),
    "keras-inception-v3": ("inception_v3", "InceptionV3"),
    "keras-inception-resnet-v2": ("inception_resnet_v2", "InceptionResNetV2"),
    "keras-xception": ("xception", "Xception"),
    "keras-mobilenet-1.0": ("mobilenet", "MobileNet"),
    "keras-mobilenet-0.75": ("mobilenet", "MobileNet"),
    "keras-mobilenet-0.5": ("mobilenet", "MobileNet"),
    "keras-mobilenet-0.25": ("mobilenet", "MobileNet"),
    "keras-mobilenet-v2": ("mobilenet_v2", "MobileNetV2"),
    "keras-densenet121": ("densenet", "DenseNet121"),
    "keras-densenet169": ("densenet", "DenseNet169"),
    "keras-densenet201": ("densenet", "DenseNet201"),
    "keras-nasnet-mobile": ("nasnet", "NASNetMobile"),
    "keras-nasnet-large": ("nasnet", "NASNetLarge"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--package", default="keras-applications")
    parser.add_argument("--path")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if options.package == "keras":
        os.environ.setdefault("KERAS_BACKEND", "torch")
    if options.path:
        sys.path.insert(0, options.path)
    keras, versions = _keras(options.package)
    keras.utils.set_random_seed(0)
    model, prepare = _model(keras, options.package, options.network)
    rng = np.random.default_rng(0)
    size = model.input_shape[1]
    image = rng.integers(0, 256, (1, size, size, 3), np.uint8)
    _randomise(model, prepare, rng, size)
    layout = _layout(keras, options.package)
    for name, save in layout.items():
        save(model, str(options.folder / name))
    # The classifier's activation is softmax in all of them; without it the model gives logits.
    last = model.layers[-1]
    last.activation = keras.activations.linear
    logits = np.asarray(model.predict_on_batch(prepare(image.astype(np.float32))))
    np.savez(options.folder / "source.npz", image=image, logits=logits)
    shapes = [[x.name, [list(w.shape) for w in x.weights]] for x in model.layers if x.weights]
    facts = {"versions": versions, "files": list(layout), "layers": shapes, "parameters": model.count_params()}
    (options.folder / "source.json").write_text(json.dumps(facts))


def _keras(package: str) -> tuple[types.ModuleType, dict[str, str]]:
    if package == "keras":
        keras = importlib.import_module("keras")
        backend = keras.backend.backend()
        return keras, {"keras": keras.__version__, backend: version(backend)}
    tensorflow = importlib.import_module("tensorflow")
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    return tensorflow.keras, {
        "tensorflow": tensorflow.__version__,
        "tf.keras": version("keras"),
        package: version(package),
    }


def _version_on_path(package: str) -> str:
    """Return the version of a package, of the first one on the module path."""
    found = next(iter(distributions(name=package, path=sys.path)), None)
    return version(package) if found is None else found.version


def _model(keras: types.ModuleType, package: str, network: str) -> tuple:
    """Return a model and the function that prepares RGB pixels for it."""
    if package == "keras-squeezenet":
        prepare = keras.applications.imagenet_utils.preprocess_input
        return _squeezenet(keras), lambda x: prepare(x.copy(), mode="caffe")
    module_name, function = MODELS[network]
    alpha = {"alpha": float(network.rpartition("-")[2])} if module_name == "mobilenet" else {}
    if package == "keras":
        model = getattr(keras.applications, function)(weights=None, **alpha)
        return model, getattr(keras.applications, module_name).preprocess_input
    parts = {name: getattr(keras, name) for name in ("backend", "layers", "models", "utils")}
    applications = importlib.import_module("keras_applications")
    if hasattr(applications, "set_keras_submodules"):
        applications.set_keras_submodules(engine=types.SimpleNamespace(), **parts)
    module = importlib.import_module(f"keras_applications.{module_name}")
    if "kwargs" in module.preprocess_input.__code__.co_varnames:
        model = getattr(module, function)(weights=None, **alpha, **parts)
        return model, lambda x: module.preprocess_input(x.copy(), data_format="channels_last", **parts)
    return getattr(module, function)(weights=None, **alpha), lambda x: module.preprocess_input(
        x.copy(), data_format="channels_last"
    )


def _squeezenet(keras: types.ModuleType):
    """Run keras-squeezenet, which was written for Keras 2.0, on tf.keras: a few modules moved since."""
    layers = types.ModuleType("keras.layers")
    layers.__dict__.update({n: getattr(keras.layers, n) for n in dir(keras.layers)}, warnings=warnings)
    imagenet = types.ModuleType("keras.applications.imagenet_utils")
    imagenet._obtain_input_shape = lambda shape, default_size, **_: (default_size, default_size, 3)
    topology = types.ModuleType("keras.engine.topology")
    topology.get_source_inputs = keras.utils.get_source_inputs
    utils = types.ModuleType("keras.utils")
    utils.get_file, utils.layer_utils = keras.utils.get_file, None
    moved = {
        "keras": keras,
        "keras.backend": keras.backend,
        "keras.layers": layers,
        "keras.models": keras.models,
        "keras.utils": utils,
        "keras.applications": keras.applications,
        "keras.applications.imagenet_utils": imagenet,
        "keras.engine": types.ModuleType("keras.engine"),
        "keras.engine.topology": topology,
    }
    before = {name: sys.modules.get(name) for name in moved}
    sys.modules.update(moved)
    try:
        module = importlib.import_module("keras_squeezenet.squeezenet")
    finally:
        for name, old in before.items():
            sys.modules.pop(name)
            if old is not None:
                sys.modules[name] = old
    return module.SqueezeNet(weights=None)


def _randomise(model, prepare, rng: np.random.Generator, size: int) -> None:
    norms = [x for x in model.layers if type(x).__name__ == "BatchNormalization"]
    for layer in model.layers:
        if layer.weights and layer not in norms:
            layer.set_weights([_drawn(w.shape, rng) for w in layer.weights])
    for norm in norms:
        norm.momentum = 0.0
    noise = rng.integers(0, 256, (2, size, size, 3), np.uint8).astype(np.float32)
    if norms:
        model(prepare(noise), training=True)
    for norm in norms:
        *learned, mean, variance = [np.asarray(w) for w in norm.get_weights()]
        width = len(mean)
        learned = [v + rng.normal(0, 0.1, width) for v in learned]
        mean = mean + rng.normal(0, 0.1, width) * np.sqrt(variance)
        norm.set_weights([*learned, mean, variance * rng.uniform(0.8, 1.25, width) + 1e-3])
        norm.momentum = 0.99


def _drawn(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if len(shape) == 1:
        return rng.normal(0, 0.1, shape).astype(np.float32)
    inputs = np.prod(shape[:-1]) if len(shape) == 2 or shape[3] >= 8 or shape[0] == 1 else np.prod(shape[:2])
    return rng.normal(0, np.sqrt(2 / inputs), shape).astype(np.float32)


def _layout(keras: types.ModuleType, package: str) -> dict:
    """Return by file name how each layout is written."""
    if package == "keras":
        legacy = importlib.import_module("keras.src.legacy.saving.legacy_h5_format")

        def listed(model, path: str) -> None:
            h5py = importlib.import_module("h5py")
            with h5py.File(path, "w") as file:
                legacy.save_weights_to_hdf5_group(file, model)

        return {"listed.h5": listed, "model.weights.h5": lambda model, path: model.save_weights(path)}
    return {
        "listed.h5": lambda model, path: model.save_weights(path, save_format="h5"),
        "whole.h5": lambda model, path: model.save(path, save_format="h5"),
        "model.weights.h5": lambda model, path: model.save_weights(path),
    }


if __name__ == "__main__":
    main()
