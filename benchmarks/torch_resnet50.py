"""ResNet-50 in plain torch.nn, written as ONNX: the network that engines.py holds the engine against.

    TORCH_PYTHON benchmarks/torch_resnet50.py OUT.onnx

The architecture is that of prototxt/resnet/deploy_resnet50.prototxt: stride in the first 1 x 1 convolution of a stage,
first pooling without padding and rounded up. Weights are torch's own random ones: times do not depend on them.
"""

import sys

import torch
from torch import nn


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions beside a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int, project: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 1, stride, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 4 * width, 1, bias=False),
            nn.BatchNorm2d(4 * width),
        )
        self.shortcut = nn.Sequential()
        if project:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add both ways and rectify."""
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet50() -> nn.Module:
    """Return the network with its softmax, in inference mode."""
    layers: list = [
        nn.Conv2d(3, 64, 7, 2, 3),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True),
    ]
    inputs = 64
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(blocks):
            layers.append(Bottleneck(inputs, width, 2 if stage and not block else 1, not block))
            inputs = 4 * width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000), nn.Softmax(1)]
    return nn.Sequential(*layers).eval()


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.onnx.export(
        resnet50(),
        (torch.zeros(1, 3, 224, 224),),
        sys.argv[1],
        input_names=["data"],
        output_names=["prob"],
        dynamo=False,
    )
    print(torch.__version__)
