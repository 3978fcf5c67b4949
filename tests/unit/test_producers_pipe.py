"""Reading what comes through a pipe."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pytest

from producers.backfill.pipe import PipeStream


def test_a_path_that_does_not_open_raises_that_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.13 tells of what goes wrong in closing a half-made stream: a traceback beneath a plain "no such file"."""
    closed: list[BaseException | None] = []
    close = PipeStream.close

    def watched(stream: PipeStream) -> None:
        try:
            close(stream)
        except AttributeError as error:
            closed.append(error)
        else:
            closed.append(None)

    monkeypatch.setattr(PipeStream, "close", watched)

    with pytest.raises(FileNotFoundError):
        PipeStream(tmp_path / "missing.csv", threading.Event())
    gc.collect()

    assert closed
    assert not any(closed)
