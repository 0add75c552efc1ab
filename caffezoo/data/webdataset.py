"""WebDataset shards: tars in which the files of one sample stand together and differ only in what follows the name.

``000123.jpg`` and ``000123.cls`` are one sample: the name ends at the first dot of the file name.
"""

from __future__ import annotations

import os
from typing import ClassVar

from caffezoo.data.base import IMAGE_ENDINGS, Dataset, Sample
from caffezoo.data.tar_archive import Member, TarFile
from caffezoo.errors import DataError

MAX_LABEL_BYTES = 64
_LABEL_ENDINGS = ("cls", "label", "target")


class WebDataset(Dataset):
    """The samples of all shards, in order.

    Parameters
    ----------
    name : str
        A shard, or a folder of them, taken by name.
    image_ending, label_ending : str, optional
        What follows the first dot; found by the usual endings if not given.

    Raises
    ------
    DataError
        A shard that is no tar, a sample without image, or a label that is no whole number.
    """

    kind: ClassVar[str] = "webdataset"

    def __init__(self, name: str, *, image_ending: str | None = None, label_ending: str | None = None) -> None:
        self.name = name
        self._tars: list[TarFile] = []
        self._entries: list[tuple[int, Member, int | None]] = []
        images = (image_ending,) if image_ending else tuple(ending[1:] for ending in IMAGE_ENDINGS)
        labels = (label_ending,) if label_ending else _LABEL_ENDINGS
        for shard in tar_files(name):
            tar = TarFile(shard)
            self._tars.append(tar)
            self._add(len(self._tars) - 1, tar, images, labels)
        if not self._entries:
            raise DataError(
                f"its samples hold no image ({', '.join(images)})", where=name, hint="name it: --image-column ENDING"
            )
        if label_ending and all(label is None for _, _, label in self._entries):
            raise DataError(f"no sample has a '{label_ending}'", where=name)
        self.labels_from = "the shards" if any(label is not None for *_, label in self._entries) else ""

    def __len__(self) -> int:
        return len(self._entries)

    def sample(self, index: int) -> Sample:
        shard, member, label = self._entries[index]
        return Sample(member.name, label, f"{self._tars[shard].path}/{member.name}")

    def read(self, index: int) -> bytes:
        shard, member, _ = self._entries[index]
        return self._tars[shard].read(member)

    def _add(self, number: int, tar: TarFile, images: tuple[str, ...], labels: tuple[str, ...]) -> None:
        grouped: dict[str, dict[str, Member]] = {}
        for member in tar.members():
            stem, ending = _parts(member.name)
            grouped.setdefault(stem, {})[ending] = member
        for parts in grouped.values():
            image = next((parts[ending] for ending in images if ending in parts), None)
            if image is not None:
                label = next((parts[ending] for ending in labels if ending in parts), None)
                self._entries.append((number, image, None if label is None else _label(tar, label)))


def is_webdataset(members: tuple[Member, ...]) -> bool:
    """Whether the first samples of a tar have labels beside their images."""
    return any(_parts(member.name)[1] in _LABEL_ENDINGS for member in members[:64])


def tar_files(name: str) -> tuple[str, ...]:
    """Return the shards of a data set: the one named, or the tars in the folder by name."""
    if not os.path.isdir(name):
        return (name,)
    return tuple(sorted(os.path.join(name, file) for file in os.listdir(name) if file.endswith(".tar")))


def _parts(name: str) -> tuple[str, str]:
    folder, slash, file = name.rpartition("/")
    stem, _, ending = file.partition(".")
    return f"{folder}{slash}{stem}", ending.lower()


def _label(tar: TarFile, member: Member) -> int:
    where = f"{tar.path}/{member.name}"
    text = b"" if member.size_bytes > MAX_LABEL_BYTES else tar.read(member).strip()
    if not text.isdigit():
        raise DataError("its label is not a whole number", where=where)
    return int(text)
