"""Names of networks on the command line, and what the index knows of one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from caffezoo.zoo.entry import NetworkEntry

index_option = Annotated[Path | None, typer.Option("--index", help="Your own index, merged over the built-in one.")]


def complete_network(incomplete: str) -> list[str]:
    """Return names of the zoo that begin so, for the shell."""
    from caffezoo.zoo.index import load_index

    return load_index().names(f"{incomplete}*")


def is_file(net: str) -> bool:
    """Tell a prototxt's path from a network's name."""
    return net.endswith(".prototxt") or os.path.isfile(net)


def print_entry(entry: NetworkEntry) -> None:
    """Print what the index knows of a network: origin, preprocessing, sources of weights, published results."""
    p = entry.preprocessing
    print()
    print(f"origin         {entry.origin.project}" + (f"  {entry.origin.url}" if entry.origin.url else ""))
    if entry.origin.paper:
        print(f"paper          {entry.origin.paper}")
    if entry.aliases:
        print(f"aliases        {', '.join(entry.aliases)}")
    print(f"task           {entry.task}")
    print(f"labels         {entry.labels.classes} classes, order {entry.labels.order}")
    mean, std = (" ".join(f"{v:g}" for v in triple) for triple in (p.mean, p.std))
    print(f"preprocessing  mean {mean}, std {std} (B, G, R); {p.resize} side to base size  [{p.source}]")
    for name in ("small", "large"):
        sizes = getattr(p, name)
        if sizes is not None:
            print(f"  {name:<12} base {sizes.base_size}, crop {sizes.crop_size} px")
    for weights in entry.weights:
        size = f"{weights.bytes:,} bytes" if weights.bytes else weights.size_text or ".."
        place = weights.url or weights.id or weights.path or "nowhere"
        print(f"weights        {weights.state:<16} {weights.scheme or '-':<7} {weights.format:<11} {size}  {place}")
    for row in entry.published.accuracy:
        top1 = f"top-1 {row.top1_error} %" if row.top1_error is not None else f"top-1 accuracy {row.top1_accuracy} %"
        top5 = (
            f", top-5 {row.top5_error} %"
            if row.top5_error is not None
            else f", top-5 accuracy {row.top5_accuracy} %"
            if row.top5_accuracy is not None
            else ""
        )
        sizes = f"{row.base_size or '..'}/{row.crop_size or '..'} px"
        crops = "crops not stated" if row.crops is None else "1 crop" if row.crops == 1 else f"{row.crops} crops"
        print(f"published      {top1}{top5}  ({crops}, {sizes})  [{row.source}]")
    for time in entry.published.time:
        values = {"forward": time.forward_ms, "backward": time.backward_ms, "both": time.forward_backward_ms}
        text = ", ".join(f"{k} {v} ms" for k, v in values.items() if v is not None)
        print(
            f"published      {text}  ({time.device}, batch {time.batch}, {time.crop_size or '..'} px)  [{time.source}]"
        )
