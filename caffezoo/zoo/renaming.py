"""Networks that own the same blobs in the same order under different layer names.

Where two hands published one network, the weights of either fit the other after renaming. That is read off the two
generators: the n-th layer with blobs of one is the n-th of the other.
"""

from __future__ import annotations

from caffezoo.zoo.builder import NetBuilder

# An InnerProduct and a convolution over the whole map hold the same matrix.
_KINDS = {
    "Convolution": "product",
    "ConvolutionDepthwise": "product",
    "InnerProduct": "product",
    "BatchNorm": "BatchNorm",
    "Scale": "Scale",
}
_GROUPS: list[tuple[str, ...]] = []


def same_blobs(*networks: str) -> None:
    """Register networks, by their generators' names, that own the same blobs in the same order."""
    _GROUPS.append(networks)


def renamings(network: str) -> dict[str, dict[str, str]]:
    """Return, for every network whose weights fit, its layer names and what they are called in ``network``.

    Raises
    ------
    ValueError
        Two networks were registered that do not own the same kinds of layers.
    """
    from caffezoo.zoo.architectures.registry import architectures

    builders = {found.name: found.build for found in architectures().values()}
    found: dict[str, dict[str, str]] = {}
    for group in _GROUPS:
        if network in group:
            own = _owners(builders[network]())
            for other in group:
                if other != network:
                    theirs = _owners(builders[other]())
                    if [kind for _, kind in theirs] != [kind for _, kind in own]:
                        raise ValueError(f"{network} and {other} do not own the same layers")
                    found[other] = {name: mine for (name, _), (mine, _) in zip(theirs, own, strict=True)}
    return found


def _owners(builder: NetBuilder) -> list[tuple[str, str]]:
    """Name and kind of every layer with blobs."""
    return [
        (layer.name, _KINDS[layer.type])
        for layer in builder.net.layer
        if layer.type in _KINDS and not (layer.type == "Scale" and len(layer.bottom) > 1)
    ]
