"""What the tests of uploads share: a hub on loopback that this process talks to, and finished episodes."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A fake hub that huggingface_hub of this process takes for the real one, and which it does not wait for."""
    huggingface_hub = pytest.importorskip("huggingface_hub")
    from fake_hub import FakeHub
    from huggingface_hub.utils import _http

    without_waiting = SimpleNamespace(sleep=lambda _: None, time=time.time, perf_counter=time.perf_counter)
    monkeypatch.setattr(_http, "time", without_waiting)
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    with FakeHub(tmp_path / "hub") as hub:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.url)
        yield hub
        huggingface_hub.set_client_factory(_http.default_client_factory)
