"""Weights from files, folders and the Hugging Face hub into a network, and what became of them."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mapanything_data.errors import DataError, require
from train.models.protocol import Model

if TYPE_CHECKING:
    from torch import Tensor, nn

_WHOLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")
_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Which weights a network started from."""

    source: str
    """What model.pretrained named."""
    sha256: dict[str, str]
    """Of each file, by its path."""
    unfit: str
    """Names that did not fit, as text of several lines; empty where all did."""

    def __str__(self) -> str:
        lines = [f"pretrained: {self.source}", *(f"  {name} sha256 {digest}" for name, digest in self.sha256.items())]
        return "\n".join([*lines, self.unfit] if self.unfit else lines)


def load_pretrained(network: nn.Module, model: Model) -> Provenance | None:
    """Load the weights that `model.pretrained` names into the network that `model.build()` made.

    A .pth file holds the weights by name, or has them under the key "model", as our checkpoints and those of
    MapAnything do. Of our checkpoints "model" is taken and nothing else: checkpoint-best.pth has the weights there that
    were evaluated, averaged ones where training averaged.

    Args:
        network: What takes them, on any device, not sharded yet.
        model: Its `pretrained` is a file (.pth or .safetensors), a folder with model.safetensors or its parts, or a
            name on the hub; what exists as a path is a path. Where the hub cannot be reached, its cache serves.

    Returns:
        What was loaded, for the log; None where `model.pretrained` is null.

    Raises:
        DataError: A file is missing, broken, no weights, or does not fit (see `load_weights`), or the hub has not got
            it or cannot be reached.
        MissingDependencyError: The format or the hub needs a package that is not installed.
    """
    if model.pretrained is None:
        return None
    from train.checkpoints.weights import load_weights

    files = _find_files(model.pretrained)
    weights = {name: tensor for file in files for name, tensor in read_weights(file).items()}
    where = files[0] if len(files) == 1 else files[0].parent
    unfit = load_weights(network, weights, where=where, strict=model.strict)
    return Provenance(model.pretrained, {str(file): _sha256(file) for file in files}, unfit)


def find_folder(pretrained: str) -> Path:
    """The folder that the weights lie in, which for a name on the hub is downloaded first.

    Raises:
        DataError: There is none.
    """
    path = Path(pretrained).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        return path.parent
    if path.suffix in _SUFFIXES or not _HUB_NAME.fullmatch(pretrained):
        expected = f"a file (.pth or .safetensors), a folder with {_WHOLE}, or a name on the Hugging Face hub"
        raise DataError(pretrained, "no such file or folder", expected=expected, remedy="correct model.pretrained")
    return _download(pretrained)


def read_weights(file: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or a torch file by their names, on the CPU; nothing in it is executed.

    Raises:
        DataError: The file is broken, or holds something else.
    """
    return _read_safetensors(file) if file.suffix == ".safetensors" else _read_torch(file)


def _find_files(pretrained: str) -> list[Path]:
    path = Path(pretrained).expanduser()
    if path.is_file():
        return [path]
    folder = find_folder(pretrained)
    if (folder / _WHOLE).is_file():
        return [folder / _WHOLE]
    index = folder / _INDEX
    if index.is_file():
        return [_part(index, name) for name in _part_names(index)]
    found = f"the folder has no {_WHOLE}"
    remedy = "name the file that holds the weights, such as model.pretrained=FOLDER/checkpoint-best.pth"
    raise DataError(folder, found, expected=f"{_WHOLE}, or {_INDEX} with its parts", remedy=remedy)


def _part_names(index: Path) -> list[str]:
    try:
        return sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        expected = "a JSON object whose weight_map names the file of each tensor"
        raise DataError(index, f"cannot be read: {error!r}", expected=expected, remedy="download it again") from error


def _part(index: Path, name: str) -> Path:
    if Path(name).name != name:
        raise DataError(index, f"names {name!r}", expected="files of its own folder", remedy="download it again")
    part = index.parent / name
    if not part.is_file():
        raise DataError(part, "is missing", expected=f"all files that {index.name} names", remedy="download it again")
    return part


def _download(name: str) -> Path:
    require("huggingface_hub")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    nothing = "no such file or folder here, and the Hugging Face hub"
    folder = f"${{machine.root_pretrained_checkpoints_dir}}/{name.partition('/')[2]}"
    try:
        return Path(snapshot_download(name, allow_patterns=["config.json", "*.safetensors", _INDEX]))
    except LocalEntryNotFoundError as error:
        found = f"{nothing} cannot be reached, and its cache on this machine has not got it"
        remedy = (
            f"where there is a network, run `hf download {name} --local-dir FOLDER`; copy FOLDER to {folder} "
            f"and set 'model.pretrained={folder}' (config.json and {_WHOLE} must lie in it)"
        )
        raise DataError(name, found, remedy=remedy) from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        found = f"{nothing} refuses: {str(error).strip().splitlines()[0]}"
        remedy = "correct model.pretrained; a private or gated repository needs `hf auth login` first"
        raise DataError(name, found, remedy=remedy) from error


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    require("safetensors")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights: dict[str, Tensor] = load_file(file)
    except (SafetensorError, OSError) as error:
        raise _broken(file, error) from error
    return weights


def _read_torch(file: Path) -> dict[str, Tensor]:
    import torch

    from train.checkpoints.file import read_checkpoint

    content = read_checkpoint(file)
    weights: Any = content.get("model", content)
    if weights and isinstance(weights, dict) and all(isinstance(value, torch.Tensor) for value in weights.values()):
        return weights
    keys = ", ".join(map(str, list(content)[:8]))
    found = f"holds the keys {keys}" if keys else "holds nothing"
    expected = "tensors by name, alone or under the key model"
    raise DataError(file, found, expected=expected, remedy="name a file of weights in model.pretrained")


def _broken(file: Path, error: Exception) -> DataError:
    found = f"cannot be read: {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
    found = found or f"is no whole safetensors file; it has {file.stat().st_size} bytes"
    remedy = "compare its size with the original's: it may have been cut short, or saved from a web page; copy it again"
    return DataError(file, found, expected="a .pth or .safetensors file of weights", remedy=remedy)


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()
