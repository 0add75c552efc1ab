"""Runs a model of torchvision, timm or pretrainedmodels. A program, for any Python that has them; needs no caffezoo.

Reads one JSON object from standard input::

    {"model": "timm:dpn68b", "classes": 1000,
     "load": FILE or null,          a state dict; null draws random weights
     "calibrate": FILE.npy or null, random weights: images that give the norms their statistics, and
     "calibrate_px": 224,           where there is no such file, the size of two random ones
     "save": FILE or null,          state dict, .pth or .safetensors
     "runs": [{"input": FILE.npy, "output": FILE.npy, "align": ["average-counts-padding"]}]}

and answers with one on standard output: the packages' versions, and every tensor's name and shape. ``align`` names
differences (caffezoo.zoo.tensor_map.DIFFERENCES) that are undone in the model before that run. ``{"list": [MODEL]}``
answers with the tensors' names and shapes of several models, which are made without memory for their numbers.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from typing import Any

PACKAGES = ("torchvision", "timm", "pretrainedmodels")


def make_model(name: str, classes: int) -> Any:
    """Return a model without weights; ``name`` is ``package:function``."""
    package, _, function = name.partition(":")
    if package == "timm":
        return importlib.import_module("timm").create_model(function, pretrained=False, num_classes=classes)
    if package == "torchvision":
        models = importlib.import_module("torchvision.models")
        return getattr(models, function)(weights=None, num_classes=classes)
    if package == "pretrainedmodels":
        models = importlib.import_module("pretrainedmodels")
        return getattr(models, function)(num_classes=classes, pretrained=None)
    raise ValueError(f"no such package: {package}")


def randomise(model: Any, images: Any, seed: int = 0) -> None:
    """Give a model random weights, its norms random scales and shifts, and the statistics of some images.

    A deep random network is chaotic, rounding alone then changes its logits, where most ReLUs are near their edge or
    the image is unlike those that the statistics come from: so shifts are about 1.
    """
    torch = importlib.import_module("torch")
    torch.manual_seed(seed)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                torch.nn.init.kaiming_normal_(module.weight)
                if module.bias is not None:
                    torch.nn.init.normal_(module.bias, std=0.1)
        for norm in norms:
            torch.nn.init.uniform_(norm.weight, 0.5, 1.0)
            torch.nn.init.normal_(norm.bias, 1.0, 0.2)
            norm.momentum = None  # the statistics are then the batches' average
            norm.reset_running_stats()
        model.eval()
        for norm in norms:
            norm.train()
        model(images)
        model.eval()


def align(model: Any, differences: list[str]) -> None:
    """Undo differences between the model and the Caffe network, in place."""
    nn = importlib.import_module("torch").nn
    for difference in differences:
        if difference == "average-counts-padding":
            for module in model.modules():
                if isinstance(module, nn.AvgPool2d):
                    module.count_include_pad = True
        elif difference == "pool2-unpadded":
            model.block2.rep[-1] = nn.MaxPool2d(3, 2, 0, ceil_mode=True)
        else:
            raise ValueError(f"no such difference: {difference}")


def list_tensors(names: list[str]) -> dict[str, Any]:
    """Return names and shapes of the tensors of models with 1000 classes."""
    torch = importlib.import_module("torch")
    found = {}
    for name in names:
        with torch.device("meta"):
            model = make_model(name, 1000)
        found[name] = [[tensor, list(t.shape)] for tensor, t in model.state_dict().items()]
    return found


def load_tensors(path: str) -> Any:
    """Return the state dict of a file, by its framework's own reader."""
    if path.endswith(".safetensors"):
        return importlib.import_module("safetensors.torch").load_file(path)
    return importlib.import_module("torch").load(path, map_location="cpu", weights_only=True)


def save_tensors(tensors: Any, path: str) -> None:
    """Write a state dict."""
    if path.endswith(".safetensors"):
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        importlib.import_module("safetensors.torch").save_file(tensors, path)
    else:
        importlib.import_module("torch").save(tensors, path)


def versions() -> dict[str, str]:
    """Return the versions of the packages that were used."""
    return {name: sys.modules[name].__version__ for name in ("torch", *PACKAGES) if name in sys.modules}


def serve(job: dict[str, Any]) -> dict[str, Any]:
    """Do one job."""
    if "list" in job:
        return {"versions": versions(), "models": list_tensors(job["list"])}
    torch = importlib.import_module("torch")
    numpy = importlib.import_module("numpy")
    model = make_model(job["model"], job["classes"])
    if job["load"]:
        model.load_state_dict(load_tensors(job["load"]))
    else:
        side = job["calibrate_px"]
        random = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
        randomise(model, torch.from_numpy(numpy.load(job["calibrate"])) if job["calibrate"] else random)
    model.eval()
    tensors = model.state_dict()
    if job["save"]:
        save_tensors(tensors, job["save"])
    for run in job["runs"]:
        align(model, run["align"])
        with torch.no_grad():
            logits = model(torch.from_numpy(numpy.load(run["input"])))
        numpy.save(run["output"], logits.reshape(len(logits), -1).numpy())
    return {"versions": versions(), "tensors": [[name, list(t.shape)] for name, t in tensors.items()]}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    answer = serve(json.load(sys.stdin))
    sys.stdout.write("\n" + json.dumps(answer) + "\n")  # packages may have printed before
