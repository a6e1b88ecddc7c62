"""`develop --burst`: several files, one picture."""

from pathlib import Path

from conftest import dark

from darkroom.frame import Exposure


def test_a_burst_becomes_one_picture_named_after_its_first_frame(write_dng, here, run):
    for index in range(3):
        write_dng(f"{index}.dng", dark((192, 256), seed=index))
    code, out, said = run("develop", "--burst", "0.dng", "1.dng", "2.dng", "--amp", "2", "--model", "n.onnx")
    assert code == 0 and out.split() == ["0.png"] and "merged with 2 more" in said
    assert sorted(path.name for path in here.glob("*.png")) == ["0.png"]
    assert run("develop", "0.dng", "--amp", "2", "--model", "n.onnx", "-o", "alone.png")[0] == 0
    assert Path("0.png").read_bytes() != Path("alone.png").read_bytes()


def test_a_frame_that_is_not_of_the_burst_is_refused_by_name(write_dng, here, run):
    write_dng("0.dng", dark((192, 256)))
    write_dng("1.dng", dark((192, 256)), exposure=Exposure(8, 3200, 2.8))
    code, out, said = run("develop", "--burst", "0.dng", "1.dng", "--amp", "2", "--model", "n.onnx")
    assert code == 1 and not out and "1.dng: has exposure time 8.0" in said and "give frames of one burst" in said
    code, _, said = run("develop", "--burst", "0.dng", "-o", "x.png")
    assert code == 2 and "0.dng is alone" in said
