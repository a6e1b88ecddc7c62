"""A stream of paths: each photo's result as it comes, and no photo begun that nobody asked for."""

from itertools import count
from pathlib import Path

import pytest
from conftest import noise
from made import write_network

from darkroom.batch import stream
from darkroom.batch.batch import Choice
from darkroom.errors import ModelError


@pytest.fixture(autouse=True)
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_dng) -> Path:
    monkeypatch.chdir(tmp_path)
    write_network(tmp_path / "n.onnx")
    return write_dng("a.dng", noise((64, 80)))


def test_a_stream_is_developed_in_order_and_again_only_what_is_left(photo):
    Path("bad.dng").write_bytes(b"II*\0 but no raw")
    first = list(stream.develop([photo, "bad.dng"], "out", amp="2", choice=Choice("n.onnx")))
    assert [result.outcome for result in first] == ["written", "failed"]
    assert first[0].output == Path("out/a.png") and first[1].error.startswith("bad.dng: ")
    again = list(stream.develop([photo], "out", amp="2", choice=Choice("n.onnx")))
    assert [result.outcome for result in again] == ["skipped"]


def test_an_endless_stream_ends_where_the_caller_does(photo, monkeypatch):
    monkeypatch.setattr(stream, "CHUNK", 2)

    def copies():
        for number in count():
            copy = Path(f"{number}.dng")
            copy.write_bytes(photo.read_bytes())
            yield copy

    results = stream.develop(copies(), "out", amp="2", choice=Choice("n.onnx"))
    assert [next(results).output.name for _ in range(3)] == ["0.png", "1.png", "2.png"]
    results.close()
    assert len(list(Path("out").glob("*.png"))) <= 4


def test_a_network_that_is_not_there_is_raised(photo):
    with pytest.raises(ModelError, match="no such network"):
        list(stream.develop([photo], "out", choice=Choice("nothing")))
