"""A data set says what it is, and is not mixed with another."""

from __future__ import annotations

import json

import pytest

from mapanything_data.errors import DataError
from mapanything_data.storage.manifest import (
    Manifest,
    fingerprint,
    read_manifest,
    refuse_other_settings,
    write_manifest,
)

SETTINGS = {"source": "video", "source.stride": 2}


@pytest.fixture
def manifest():
    return Manifest(
        format="segments",
        format_version=1,
        settings=SETTINGS,
        fingerprint=fingerprint(SETTINGS),
        provenance={"software": {"mapanything-data": "0.3.0"}},
    )


def test_a_manifest_round_trips(tmp_path, manifest):
    write_manifest(tmp_path, manifest)

    assert read_manifest(tmp_path, "segments", 1) == manifest


def test_writing_the_same_again_touches_nothing(tmp_path, manifest):
    write_manifest(tmp_path, manifest)
    before = (tmp_path / "manifest.json").stat()
    write_manifest(tmp_path, manifest)

    assert (tmp_path / "manifest.json").stat().st_ino == before.st_ino


def test_the_fingerprint_knows_values_and_not_their_order():
    assert fingerprint({"a": 1, "b": [2, 3]}) == fingerprint({"b": [2, 3], "a": 1})
    assert fingerprint({"a": 1, "b": [2, 3]}) != fingerprint({"a": 1, "b": [3, 2]})
    assert len(fingerprint({})) == 32  # 128 bits


def test_another_version_is_refused_and_says_what_wrote_it(tmp_path, manifest):
    write_manifest(tmp_path, manifest)
    values = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**values, "format_version": 2}))

    with pytest.raises(DataError, match=r"(?s)version 2, written by mapanything-data 0\.3\.0.*expected: version 1"):
        read_manifest(tmp_path, "segments", 1)


def test_another_format_is_refused_with_the_choice_that_reads_it(tmp_path, manifest):
    write_manifest(tmp_path, manifest)

    with pytest.raises(DataError, match="dataset=segments"):
        read_manifest(tmp_path, "opv2v", 1)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "segments"}', '{"format": "segments", "color": 1}'])
def test_a_damaged_manifest_is_named(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)

    with pytest.raises(DataError, match=r"manifest\.json"):
        read_manifest(tmp_path, "segments", 1)


def test_other_settings_are_refused_one_by_one(tmp_path, manifest):
    with pytest.raises(DataError, match=r"source\.stride was 2 and is now 3\n") as refusal:
        refuse_other_settings(tmp_path, manifest, {**SETTINGS, "source.stride": 3})
    assert "source was" not in str(refusal.value)
