"""A verdict on a file may take its time here: a scanner's process starts slowly on a machine that has other work."""

from __future__ import annotations

import pytest

from proxy_addon.answer import gate


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of those who do not wait so long say how long they do."""
    monkeypatch.setattr(gate, "PATIENCE", 60.0)
    monkeypatch.setattr(gate, "OF_LARGE", 60.0)
