"""Episodes of DROID are found by their metadata files, whatever surrounds them."""

from __future__ import annotations

import json
import os

import pytest

from mapanything_data.errors import DataError
from mapanything_data.storage.droid import EpisodeFiles, find_episodes, read_metadata

UUID = "AUTOLab+5d05c5aa+2023-08-12-16h-26m-07s"


def add(root, uuid=UUID, place="AUTOLab/success/2023-08-12/Sat_Aug_12_16:26:07_2023", **values):
    folder = root / place
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"metadata_{uuid}.json").write_text(json.dumps({"uuid": uuid, "user": "Ann Onym"} | values))
    return folder


def uuids(found):
    return [episode.uuid for episode in found.episodes]


def test_path_and_name_tell_everything(tmp_path):
    folder = add(tmp_path)
    (folder / f"metadata_{UUID}.json").write_text("not opened to list it")

    found = find_episodes(tmp_path)

    metadata = folder / f"metadata_{UUID}.json"
    assert list(found.episodes) == [EpisodeFiles(UUID, "AUTOLab", "success", "2023-08-12", folder, metadata)]
    assert found.broken == []


@pytest.mark.parametrize("root", ["", "AUTOLab", "AUTOLab/success", "AUTOLab/success/2023-08-12"])
def test_any_level_can_be_the_root(tmp_path, root):
    folder = add(tmp_path)

    for start in (tmp_path / root, folder):
        (episode,) = find_episodes(start).episodes
        assert str(episode.output) == "AUTOLab/success/2023-08-12/2023-08-12-16h-26m-07s"


@pytest.mark.parametrize("name", ["Fri_Jul__7_09:13:51_2023", "Fri_Jul__7_09_13_51_2023", "renamed"])
def test_the_name_of_the_folder_does_not_matter(tmp_path, name):
    add(tmp_path, "CLVR+236539bc+2023-07-07-09h-13m-51s", f"CLVR/failure/2023-07-07/{name}")

    (episode,) = find_episodes(tmp_path).episodes

    assert (episode.lab, episode.outcome, episode.date) == ("CLVR", "failure", "2023-07-07")


def test_near_midnight_the_date_is_that_of_the_folder(tmp_path):
    add(tmp_path, "IRIS+7dfa2da3+2023-08-13-00h-00m-02s", "IRIS/success/2023-08-12/Sun_Aug_13_00:00:02_2023")

    (episode,) = find_episodes(tmp_path).episodes

    assert str(episode.output) == "IRIS/success/2023-08-12/2023-08-13-00h-00m-02s"


def test_episodes_are_ordered_by_uuid_wherever_they_lie(tmp_path):
    names = ["TRI+b+2023-01-01-00h-00m-01s", "AUTOLab+a+2023-01-01-00h-00m-01s", "TRI+b+2023-01-01-00h-00m-00s"]
    for number, uuid in enumerate(names):
        add(tmp_path, uuid, f"lab{number}/success/2023-01-01/folder")

    assert uuids(find_episodes(tmp_path)) == sorted(names)


def test_without_metadata_there_is_no_episode(tmp_path):
    add(tmp_path)
    (tmp_path / "AUTOLab/failure/2023-08-12/Sat_Aug_12_16:30:00_2023").mkdir(parents=True)
    (tmp_path / "AUTOLab/failure/2023-08-12/Sat_Aug_12_16:30:00_2023/trajectory.h5").touch()

    found = find_episodes(tmp_path)

    assert uuids(found) == [UUID]
    assert found.broken == []


def test_in_another_tree_the_metadata_tells_outcome_and_date(tmp_path):
    path = "failure/2023-08-12/Sat_Aug_12_16:26:07_2023/trajectory.h5"
    add(tmp_path, place="a/b/c/d/e/f", hdf5_path=path)
    other = "AUTOLab+5d05c5aa+2023-08-12-16h-26m-08s"
    add(tmp_path, other, "picked/2", success=True)

    found = find_episodes(tmp_path)

    assert [(episode.outcome, episode.date) for episode in found.episodes] == [
        ("failure", "2023-08-12"),
        ("success", "2023-08-12"),
    ]


@pytest.mark.parametrize("values", [{}, {"hdf5_path": "../../2023-08-12/x"}, {"success": "yes"}, {"hdf5_path": 3}])
def test_where_nothing_tells_the_outcome_the_episode_is_broken(tmp_path, values):
    add(tmp_path, place="picked", **values)

    (error,) = find_episodes(tmp_path).broken

    assert "tell whether the episode succeeded" in error.found


def test_two_metadata_files_in_one_folder_are_refused(tmp_path):
    add(tmp_path)
    folder = add(tmp_path, "AUTOLab+other+2023-08-12-16h-26m-07s")

    found = find_episodes(tmp_path)

    assert not found.episodes
    assert found.broken[0].where == str(folder)
    assert "2 metadata files" in found.broken[0].found


def test_of_copies_the_first_by_path_is_taken_and_the_others_told(tmp_path):
    first = add(tmp_path / "a")
    second = add(tmp_path / "b", place="AUTOLab/failure/2023-08-12/Sat_Aug_12_16:26:07_2023")

    found = find_episodes(tmp_path)

    assert [episode.folder for episode in found.episodes] == [first]
    assert [error.where for error in found.broken] == [str(second / f"metadata_{UUID}.json")]
    assert f"is a copy of the episode in {first}" in found.broken[0].found


def test_two_collectors_at_the_same_second_do_not_share_a_folder_of_results(tmp_path):
    add(tmp_path)
    add(tmp_path, "AUTOLab+other+2023-08-12-16h-26m-07s", "AUTOLab/success/2023-08-12/other")

    found = find_episodes(tmp_path)

    assert uuids(found) == [UUID]
    assert "has the same lab, date and second as the episode in" in found.broken[0].found


@pytest.mark.parametrize(
    "uuid",
    [
        "..+a+2023-08-12-16h-26m-07s",
        "LAB+a+..",
        "LAB+a+2023-08-12",
        "a+2023-08-12-16h-26m-07s",
        "LAB+a+b+2023-08-12-16h-26m-07s",
        "LAB+a+2023-08-12-16h-26m-0\u0667s",
        "LAB+a+2023-08-12-16h-26m-07s\n",
        "LAB\\..+a+2023-08-12-16h-26m-07s",
    ],
)
def test_a_name_that_is_no_uuid_is_refused(tmp_path, uuid):
    add(tmp_path, uuid)

    found = find_episodes(tmp_path)

    assert not found.episodes
    assert found.broken[0].found == "has no uuid in its name"


def test_links_are_followed_once_and_circles_told(tmp_path):
    folder = add(tmp_path / "disk")
    root = tmp_path / "root"
    root.mkdir()
    (root / "AUTOLab").symlink_to(tmp_path / "disk" / "AUTOLab")
    (root / "again").symlink_to(tmp_path / "disk" / "AUTOLab")
    (folder.parent / "circle").symlink_to(tmp_path / "disk" / "AUTOLab")

    found = find_episodes(root)

    assert uuids(found) == [UUID]
    assert [("circle" in error.where, "leads back" in error.found) for error in found.broken] == [(True, True)]


def test_links_that_lead_to_each_other_come_to_an_end(tmp_path):
    add(tmp_path)
    for one, other in (("a", "b"), ("b", "a")):
        (tmp_path / one).mkdir()
        (tmp_path / one / "over").symlink_to(tmp_path / other)

    assert uuids(find_episodes(tmp_path)) == [UUID]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_rights_is_told_and_the_others_found(tmp_path):
    add(tmp_path)
    locked = tmp_path / "AUTOLab/failure"
    locked.mkdir()
    locked.chmod(0)

    found = find_episodes(tmp_path)
    locked.chmod(0o700)

    assert uuids(found) == [UUID]
    assert "cannot be read (Permission denied)" in found.broken[0].found


def test_a_folder_that_disappears_is_told_and_the_others_found(tmp_path, monkeypatch):
    add(tmp_path)
    (tmp_path / "gone").mkdir()
    gone, scandir = str(tmp_path / "gone"), os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: scandir(path if path != gone else gone + "/no"))

    found = find_episodes(tmp_path)

    assert uuids(found) == [UUID]
    assert [error.where for error in found.broken] == [gone]
    assert "No such file" in found.broken[0].found


@pytest.mark.parametrize(
    ("name", "message"), [("missing", "No such file"), ("file", "Not a directory"), (".", "no episode")]
)
def test_a_root_without_episodes_is_refused(tmp_path, name, message):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=message):
        find_episodes(tmp_path / name)


def test_progress_is_told_by_level(tmp_path):
    add(tmp_path)
    told = []

    find_episodes(tmp_path, told.append)

    assert told[0] == "0 episodes found, 1 folders to look into"
    assert told[-1] == "1 episodes found, 0 folders to look into"


# Metadata


def metadata(tmp_path, text):
    folder = add(tmp_path)
    path = folder / f"metadata_{UUID}.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_metadata(EpisodeFiles(UUID, "AUTOLab", "success", "2023-08-12", folder, path))


def test_no_name_of_a_person_is_handed_on(tmp_path):
    values = {
        "uuid": UUID,
        "user": "Ann Onym",
        "user_id": "5d05c5aa",
        "userName": "ann",
        "operator": "A.",
        "collected_by": ["with Ann Onym"],
        "notes": {"deep": [{"ann onym": 1}]},
        "r2d2_path": "/home/ann_onym/recordings",
        "contact": "Ann.Onym@example.org",
        "folder": "runs/AnnOnym-2",
        "current_task": "fold the cloth",
        "scene_id": 8833514968,
        "building": "Annex Onymous",
    }

    kept = metadata(tmp_path, json.dumps(values))

    assert list(kept) == ["uuid", "user_id", "current_task", "scene_id", "building"]


def test_a_user_of_signs_alone_hides_nothing(tmp_path):
    assert metadata(tmp_path, '{"user": "--", "building": "A"}') == {"building": "A"}


def test_unknown_keys_are_kept_and_missing_ones_do_no_harm(tmp_path):
    assert metadata(tmp_path, '{"new_key": [1, {"a": null}]}') == {"new_key": [1, {"a": None}]}


def test_the_metadata_of_another_episode_is_refused(tmp_path):
    with pytest.raises(DataError, match="says that its uuid is 'AUTOLab") as caught:
        metadata(tmp_path, '{"uuid": "AUTOLab+5d05c5aa+2023-08-12-16h-26m-08s"}')
    assert UUID in caught.value.expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no JSON"),
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": -Infinity}', "-Infinity is no number"),
        ('{"a": 1e999}', "1e999 is too large"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "is no JSON object"),
        (b'{"a": "\xff"}', "is no UTF-8"),
    ],
)
def test_metadata_that_cannot_be_read_is_named(tmp_path, text, message):
    with pytest.raises(DataError, match=message) as caught:
        metadata(tmp_path, text)
    assert caught.value.where.endswith(f"metadata_{UUID}.json")


@pytest.mark.parametrize(
    "more",
    [
        {"user": {"first": "Ann", "last": "Onym"}, "note": "by Ann"},
        {"Ann Onym": 3},
        {"note": [{"seen by ann onym": True}]},
    ],
)
def test_a_name_in_parts_or_as_a_key_is_not_handed_on(more, tmp_path):
    kept = metadata(tmp_path, json.dumps({"uuid": UUID, "user": "Ann Onym"} | more))

    assert list(kept) == ["uuid"]
