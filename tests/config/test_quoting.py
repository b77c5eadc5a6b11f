"""File names reach the program as they were typed."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from mapanything_data.config.quoting import quote_override

PARSER = OverridesParser.create()


def value_of(argument: str) -> object:
    return PARSER.parse_override(quote_override(argument)).value()


@pytest.mark.parametrize(
    "name",
    [
        "/rides/Zürich.mp4",
        "/rides/clip (1).mp4",
        "/rides/日本 東京.mkv",
        "/rides/it's.mp4",
        '/rides/6".mp4',
        "/r/a&b#c;d!.mp4",
    ],
)
def test_a_file_name_with_special_characters_needs_no_quotes(name):
    assert value_of(f"source.path={name}") == name


@given(st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters=",$"), min_size=1))
def test_any_name_that_begins_with_a_folder_arrives_unchanged(name):
    assert value_of(f"source.path=/rides/{name}") == f"/rides/{name}"


@pytest.mark.parametrize(
    ("argument", "meaning"),
    [
        ("source.stride=2", 2),
        ("source.start=1.5", 1.5),
        ("source.resize=[640,360]", [640, 360]),
        ("source.end=null", None),
        ("again=true", True),
        ("source.path='quoted already, with comma'", "quoted already, with comma"),
        ("dataset.root=${machine.output_root}/x", "${machine.output_root}/x"),
    ],
)
def test_other_values_keep_their_meaning(argument, meaning):
    assert value_of(argument) == meaning


def test_commas_still_separate_the_values_of_a_sweep():
    override = PARSER.parse_override(quote_override("source.path=/a/é.mp4,/b/plain.mp4"))

    assert override.is_choice_sweep()
    assert [getattr(value, "text", value) for value in override.sweep_iterator()] == ["/a/é.mp4", "/b/plain.mp4"]


@pytest.mark.parametrize("argument", ["--help", "-m", "--config-dir=/tmp/é", "source.stride=range(1,4)", "~source"])
def test_flags_calls_and_deletions_are_left_alone(argument):
    assert quote_override(argument) == argument
