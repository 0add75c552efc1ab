"""The comment above every generated prototxt: who wrote it, after what, and which input sizes it takes."""

SOEAVER = "soeaver/caffe-model cls/"
HUJIE = "hujie-frank/SENet models/"


def provenance(source: str, sizes: str, *notes: str) -> str:
    """Return the header of a generated prototxt.

    Parameters
    ----------
    source : str
        The published file whose names and arithmetic the network keeps: repository and path.
    sizes : str
        Input sizes in pixels (square) at which every Concat and Eltwise meets maps of one size.
    *notes : str
        What differs from the published file, or else should be known.
    """
    lines = ["Written by `caffezoo prototxt`; do not edit.", f"Architecture: {source}", f"Input sizes: {sizes}"]
    return "\n".join([*lines, *notes])
