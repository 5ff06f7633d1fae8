"""Which processes are killed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from tools.errors import ToolError
from tools.soak import run
from tools.soak.context import Plan


def test_an_unknown_role_is_told_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def serving(_: str) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(mortal=lambda: ["triton", "hps"])

    monkeypatch.setattr(run, "serving", serving)
    monkeypatch.setattr(run, "cut_pictures", lambda _: [])
    soak = run.run_soak("pipeline", Path("a.jpg"), Plan(roles="hps,typo"), ["kills"], print)
    with pytest.raises(ToolError, match="no process typo; there are triton, hps"):
        asyncio.run(soak)
