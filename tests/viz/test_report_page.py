"""The report page shows what is there, needs no network, and opens in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
from segments_data import write_dataset

from mapanything_data.engine.executors.inline import InlineExecutor
from mapanything_data.stages.check import CheckConfig, check
from mapanything_data.stages.report import ReportConfig, report
from mapanything_data.storage.segments import SegmentsDataset


def make_report(root, *, checked: bool) -> str:
    dataset = SegmentsDataset(root=str(root))
    if checked:
        check(CheckConfig(machine={}, dataset=dataset, executor=InlineExecutor(), output=str(root)))
    assert report(ReportConfig(machine={}, dataset=dataset, output=str(root))) == 0
    return (root / "report.html").read_text()


@pytest.fixture
def root(tmp_path):
    write_dataset(tmp_path / "<b>drive</b> & Söhne", segments=2)
    return tmp_path / "<b>drive</b> & Söhne"


def test_the_page_refers_to_nothing_outside_of_itself(root):
    page = make_report(root, checked=True)

    assert re.findall(r"""(?:src|href)=["'](?!data:)([^"']*)""", page) == []
    assert "http" not in page.replace("https://", "http://").replace("http-equiv", "")
    assert page.count("data:image/jpeg;base64,") == 8  # four example pictures of each segment


def test_facts_are_the_same_in_the_page_and_in_the_json(root):
    page = make_report(root, checked=True)
    facts = json.loads((root / "report.json").read_text())

    assert (facts["facts"]["frames"], facts["facts"]["segments"]) == (16, 2)
    assert [item["frames"] for item in facts["items"]] == [8, 8]
    assert facts["items"][0]["frames/s"] == pytest.approx(20)
    assert facts["check"]["verdict"] == "OK"
    assert "<b>16</b><span>frames</span>" in page


def test_findings_stand_in_the_page(root):
    (root / "segment_01" / "raw" / "000000.png").write_bytes(b"no picture")

    page = make_report(root, checked=True)

    assert '<span class="verdict FAIL">FAIL</span>' in page
    assert "segment_01/raw/000000.png" in page
    assert '<div class="unreadable">unreadable</div>' in page


def test_an_unchecked_data_set_says_how_to_check_it(root):
    assert "has not been checked" in make_report(root, checked=False)


def test_names_cannot_smuggle_markup_into_the_page(root):
    page = make_report(root, checked=True)

    assert "&lt;b&gt;drive&lt;/b&gt; &amp; Söhne" in page
    assert "<b>drive</b>" not in page


def test_an_unfinished_capture_is_reported_as_it_is(root):
    (root / "segment_01" / "frames.jsonl").unlink()

    make_report(root, checked=False)

    items = json.loads((root / "report.json").read_text())["items"]
    assert [(item["complete"], item["frames"]) for item in items] == [(True, 8), (False, 0)]


def test_a_browser_without_network_shows_all_pictures(root, tmp_path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no browser is installed")
    make_report(root, checked=True)
    page = tmp_path / "page.html"
    count_shown = "document.title = 'shown ' + [...document.images].filter(i => i.naturalWidth).length"
    page.write_text((root / "report.html").read_text() + f"<script>onload = () => {{ {count_shown} }}</script>")

    done = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}",
            "--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom", page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    assert "<title>shown 8</title>" in done.stdout


@pytest.mark.parametrize("table", ["{", '{"frame": 0, "timestamp": null, "source_frame": 0}\n'])
def test_a_damaged_segment_is_a_line_of_the_page_and_not_the_end_of_it(root, table):
    (root / "segment_01" / "frames.jsonl").write_text(table)

    page = make_report(root, checked=False)

    assert "frames.jsonl" in page
    assert [item["complete"] for item in json.loads((root / "report.json").read_text())["items"]] == [True, False]
