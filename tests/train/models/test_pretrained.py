"""Weights come from files, folders and the hub, whole and safe, or one message says why not."""

from __future__ import annotations

import hashlib
import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mapanything_data.errors import DataError
from train.checkpoints.file import write_checkpoint
from train.models.pretrained import find_folder, load_pretrained, read_weights


@pytest.fixture
def safetensors():
    return pytest.importorskip("safetensors.torch")


@pytest.fixture
def hub():
    return pytest.importorskip("huggingface_hub")


class Runs:
    """A Python object, which unpickling would make, and code would run."""


@pytest.fixture
def network():
    return nn.Linear(3, 2)


@pytest.fixture
def weights():
    return {"weight": torch.arange(6.0).view(2, 3), "bias": torch.tensor([7.0, 8.0])}


def model(pretrained, strict=True):
    return SimpleNamespace(pretrained=None if pretrained is None else str(pretrained), strict=strict)


def has(network, weights):
    return all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    "content",
    [
        lambda weights: weights,
        lambda weights: {"model": weights},
        lambda weights: {"model": weights, "ema": {"weight": torch.zeros(2, 3)}, "optimizer": {"lr": 0.1}, "epoch": 3},
    ],
    ids=["plain", "as MapAnything saves", "as a training saves"],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_hold_weights_alone_or_under_model(network, weights, tmp_path, content, zipped):
    file = tmp_path / "w.pth"
    torch.save(content(weights), file, _use_new_zipfile_serialization=zipped)

    load_pretrained(network, model(file))

    assert has(network, weights)


def test_null_leaves_the_network_alone(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}

    assert load_pretrained(network, model(None)) is None
    assert has(network, before)


def test_provenance_names_each_file_with_its_digest_and_what_did_not_fit(network, weights, tmp_path, safetensors):
    file = tmp_path / "w.safetensors"
    safetensors.save_file({"weight": weights["weight"], "head": torch.ones(1)}, file)

    provenance = load_pretrained(network, model(file, strict=False))

    assert provenance.sha256 == {str(file): hashlib.sha256(file.read_bytes()).hexdigest()}
    assert provenance.unfit == "  missing: 1\n    bias\n  unexpected: 1\n    head"
    assert str(provenance).startswith(f"pretrained: {file}\n  {file} sha256 ")


def test_a_folder_holds_one_file(network, weights, tmp_path, safetensors):
    safetensors.save_file(weights, tmp_path / "model.safetensors")

    load_pretrained(network, model(tmp_path))

    assert has(network, weights)


@pytest.fixture
def parts(weights, tmp_path, safetensors):
    names = {"weight": "model-00001-of-00002.safetensors", "bias": "model-00002-of-00002.safetensors"}
    for name, file in names.items():
        safetensors.save_file({name: weights[name]}, tmp_path / file)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    return tmp_path


def test_a_folder_holds_parts_that_an_index_names(network, weights, parts):
    provenance = load_pretrained(network, model(parts))

    assert has(network, weights)
    assert len(provenance.sha256) == 2


def test_a_part_that_is_missing_is_named(network, parts):
    (parts / "model-00002-of-00002.safetensors").unlink()

    with pytest.raises(DataError, match=r"model-00002-of-00002\.safetensors: is missing"):
        load_pretrained(network, model(parts))


@pytest.mark.parametrize("text", ["<html>", "[]", '{"weight_map": null}', '{"weight_map": {"a": {}}}'])
def test_an_index_that_is_none_is_refused(network, parts, text):
    (parts / "model.safetensors.index.json").write_text(text)

    with pytest.raises(DataError, match=r"index\.json: cannot be read"):
        load_pretrained(network, model(parts))


def test_an_index_does_not_lead_out_of_its_folder(network, parts):
    (parts / "model.safetensors.index.json").write_text('{"weight_map": {"weight": "../secret.safetensors"}}')

    with pytest.raises(DataError, match=r"names '\.\./secret\.safetensors'"):
        load_pretrained(network, model(parts))


def test_a_folder_without_weights_says_which_file_it_wants(network, tmp_path):
    with pytest.raises(DataError, match=r"the folder has no model\.safetensors\n"):
        load_pretrained(network, model(tmp_path))


@pytest.mark.parametrize("name", ["nowhere.pth", "a/b/c", "folder/file.safetensors", "no name"])
def test_what_is_neither_there_nor_a_name_on_the_hub_is_refused(network, name, monkeypatch, hub):
    monkeypatch.setattr(hub, "snapshot_download", None)  # it is not asked

    with pytest.raises(DataError, match=r"no such file or folder\n  expected: a file"):
        load_pretrained(network, model(name))


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("kept", [0, 3, 150])
def test_a_file_cut_short_is_told_with_its_size(network, weights, tmp_path, suffix, kept, safetensors):
    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    if suffix == "pth":
        torch.save(weights, whole)
    else:
        pytest.importorskip("safetensors.torch").save_file(weights, whole)
    cut.write_bytes(whole.read_bytes()[:kept])

    with pytest.raises(DataError, match=rf"cut\.{suffix}: (damaged|no checkpoint|is no whole)"):
        load_pretrained(network, model(cut))


def test_a_checkpoint_of_ours_is_checked_against_its_digest(network, weights, tmp_path):
    path = tmp_path / "checkpoint-best.pth"
    write_checkpoint(path, {"model": weights})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    with pytest.raises(DataError, match="damaged: its bytes are not those that were written"):
        load_pretrained(network, model(path))


def test_a_web_page_under_the_name_of_weights_is_no_torch_file(tmp_path):
    (tmp_path / "w.pth").write_text("hello world, this is a page")

    with pytest.raises(DataError, match="no checkpoint"):
        read_weights(tmp_path / "w.pth")


def test_a_pickle_of_python_objects_is_not_run(weights, tmp_path):
    torch.save({"model": weights, "args": Runs()}, tmp_path / "w.pth")

    with pytest.raises(DataError, match=r"objects \(\S*Runs\), which may run code(.|\n)*where you trust it"):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([1, 2], "holds a list"),
        ({}, "holds nothing"),
        ({"epoch": 1}, "holds the keys epoch"),
        ({"model": 1}, "the keys model"),
    ],
)
def test_a_torch_file_without_weights_says_what_it_holds(tmp_path, content, told):
    torch.save(content, tmp_path / "w.pth")

    with pytest.raises(DataError, match=told):
        read_weights(tmp_path / "w.pth")


def test_what_exists_as_a_path_wins_over_a_name_on_the_hub(tmp_path, monkeypatch, hub):
    (tmp_path / "facebook/map-anything").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "snapshot_download", None)

    assert str(find_folder("facebook/map-anything")) == "facebook/map-anything"


def test_the_hub_gives_a_folder_of_weights_and_nothing_else(network, weights, tmp_path, monkeypatch, safetensors, hub):
    safetensors.save_file(weights, tmp_path / "model.safetensors")
    asked = []

    def download(name, allow_patterns):
        asked.append((name, allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", download)

    load_pretrained(network, model("facebook/map-anything"))

    assert has(network, weights)
    assert asked == [("facebook/map-anything", ["config.json", "*.safetensors", "model.safetensors.index.json"])]


def test_a_hub_that_cannot_be_reached_says_which_files_to_place_where(network, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    with pytest.raises(DataError) as caught:
        load_pretrained(network, model("facebook/map-anything"))

    assert "the Hugging Face hub cannot be reached, and its cache on this machine has not got it" in str(caught.value)
    assert "hf download facebook/map-anything --local-dir FOLDER" in caught.value.remedy
    assert "model.pretrained=${machine.root_pretrained_checkpoints_dir}/map-anything" in caught.value.remedy


def test_a_name_that_the_hub_has_not_got_is_told_with_its_answer(network, monkeypatch, hub):
    def refuse(*_, **__):
        raise ValueError("Repository Not Found for url.\nPlease make sure")

    monkeypatch.setattr(hub, "snapshot_download", refuse)

    with pytest.raises(
        DataError, match=r"the Hugging Face hub refuses: Repository Not Found for url\.\n.*hf auth login"
    ):
        load_pretrained(network, model("facebook/map-nothing"))
