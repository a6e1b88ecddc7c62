"""A linear DNG: what raw converters make of it, and that it says of the photo what the raw file did."""

import json
import shutil
import subprocess
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import rawpy
import sets
from conftest import refusal
from PIL import Image
from tifffile import TiffFile

from darkroom import tiff
from darkroom.errors import OutputError
from darkroom.frame import Exposure
from darkroom.tiff import BYTE, LONG, RATIONAL, SHORT, SIGNED_RATIONAL
from darkroom.write import linear
from darkroom.write.dng import Circumstances

pytestmark = pytest.mark.usefixtures("here")

NIGHT = ("night.dng", "--amp", "50")


@pytest.fixture
def night(tmp_path) -> Path:
    """A colourful scene, 50 times too dark, of odd size and lying on its side."""
    return sets.write(
        tmp_path / "night.dng",
        sets.scene(3, (250, 346)),
        ratio=50,
        exposure=Exposure(1 / 50, 1600, 2.0),
        orientation=6,
        circumstances=Circumstances("2024:02:29 23:59:58", "35 mm", (55.5, 12.25)),
    )


def negative(**changes) -> linear.Negative:
    """What goes with light of a camera that sees sRGB."""
    facts = {
        "camera": "Darkroom Test",
        "neutral": np.array([0.5, 1, 0.75], np.float32),
        "camera_to_srgb": np.eye(3, dtype=np.float32),
        "daylight": np.array([2, 1, 1.5], np.float32),
        "orientation": 1,
        "denoised": 1.0,
        "preview": np.zeros((8, 8, 3), np.uint8),
    }
    return linear.Negative(**facts | changes)


def rendered(path: Path | str) -> np.ndarray:
    """LibRaw's sRGB, under sRGB's own curve, nothing brightened, not even where no sample reaches white."""
    with rawpy.imread(str(path)) as raw:
        return raw.postprocess(use_camera_wb=True, no_auto_bright=True, gamma=(2.4, 12.92), adjust_maximum_thr=0)


def samples(path: Path | str) -> np.ndarray:
    with rawpy.imread(str(path)) as raw:
        return raw.raw_image[..., :3].copy()


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    assert one.shape == other.shape
    return 10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2))


@pytest.mark.parametrize("size", [(530, 600), (37, 700), (700, 37), (41, 43)])
def test_every_sample_comes_back_from_tiles_that_do_not_fit(tmp_path, size):
    light = np.random.default_rng(0).integers(0, 65536, (*size, 3), np.uint16)
    linear.write(Path("a.dng"), light, negative(), ratio=2, tags={}, overwrite=False)
    assert np.array_equal(samples("a.dng"), light)


def test_what_fills_up_a_tile_costs_next_to_nothing(tmp_path):
    noise = np.random.default_rng(0).integers(0, 65536, (1, 600, 3), np.uint16)
    light = np.tile(noise, (513, 1, 1))  # a row more than a tile
    linear.write(Path("a.dng"), light, negative(), ratio=2, tags={}, overwrite=False)
    linear.write(Path("b.dng"), light[:512], negative(), ratio=2, tags={}, overwrite=False)
    assert Path("a.dng").stat().st_size < 1.1 * Path("b.dng").stat().st_size


def test_libraw_renders_it_as_our_own_picture(run, night):
    assert run("develop", *NIGHT, "-o", "a.dng")[0] == 0
    assert run("develop", *NIGHT, "-o", "a.png")[0] == 0
    with Image.open("a.png") as picture:
        assert picture.size == (250, 346)  # turned
        assert psnr(rendered("a.dng"), np.asarray(picture)) > 38


@pytest.mark.skipif(not shutil.which("rawtherapee-cli"), reason="no rawtherapee-cli")
def test_rawtherapee_develops_it_to_our_own_picture(run, night):
    run("develop", *NIGHT, "-o", "a.dng")
    run("develop", *NIGHT, "-o", "a.png")
    subprocess.run(["rawtherapee-cli", "-o", "rt.png", "-n", "-b8", "-Y", "-c", "a.dng"], check=True, timeout=120)
    with Image.open("a.png") as ours, Image.open("rt.png") as theirs:
        assert psnr(np.asarray(theirs.convert("RGB")), np.asarray(ours)) > 30


@pytest.mark.skipif(not shutil.which("darktable-cli"), reason="no darktable-cli")
def test_darktable_develops_it(run, night):
    run("develop", *NIGHT, "-o", "a.dng")
    run("develop", *NIGHT, "-o", "a.png")
    subprocess.run(
        ["darktable-cli", "a.dng", "dt.png", "--core", "--configdir", "dt", "--library", ":memory:"],
        check=True,
        timeout=180,
        capture_output=True,
    )
    with Image.open("a.png") as ours, Image.open("dt.png") as theirs:  # darktable gives it a look of its own
        seen, wanted = np.asarray(theirs.convert("RGB"), float), np.asarray(ours, float)
        assert seen.shape == wanted.shape
        assert np.corrcoef(seen.ravel(), wanted.ravel())[0, 1] > 0.95


@pytest.mark.skipif(not shutil.which("exiftool"), reason="no exiftool")
def test_exiftool_finds_nothing_wrong_and_the_photo_is_told_of(run, night):
    run("develop", *NIGHT, "-o", "a.dng")
    checked = subprocess.run(["exiftool", "-validate", "-warning", "-a", "a.dng"], capture_output=True, text=True)
    assert checked.stdout.split(":")[1].strip() == "OK", checked.stdout
    (told,) = json.loads(subprocess.run(["exiftool", "-json", "-n", "a.dng"], capture_output=True, check=True).stdout)
    wanted = {
        "ISO": 1600, "ExposureTime": 0.02, "LensModel": "35 mm", "GPSLatitude": 55.5, "Orientation": 6,
        "DateTimeOriginal": "2024:02:29 23:59:58", "UserComment": "darkroom x50", "Ratio": 50, "Make": "Darkroom",
        "AsShotNeutral": "0.5 1 0.6666666667", "BaselineExposure": 0, "WhiteLevel": "65535 65535 65535",
        "DefaultCropSize": "346 250", "NoiseReductionApplied": 1, "UniqueCameraModel": "Darkroom Demo",
    }  # fmt: skip
    assert {name: told[name] for name in wanted} == wanted
    assert told["Software"].startswith("darkroom ")


def test_the_preview_lies_as_the_samples_do_and_shows_the_picture(run, night):
    run("develop", *NIGHT, "-o", "a.dng")
    run("develop", *NIGHT, "-o", "a.png")
    with Path("a.dng").open("rb") as file:
        order, at = tiff.header(file, 0)
        main, _ = tiff.read(file, 0, at, order)
        file.seek(tiff.first(main, 273))
        Path("preview.jpg").write_bytes(file.read(tiff.first(main, 279)))
    with Image.open("preview.jpg") as preview, Image.open("a.png") as picture:
        assert preview.size == (346, 250)
        upright = preview.transpose(Image.Transpose.ROTATE_270)
        assert psnr(np.asarray(upright), np.asarray(picture)) > 30


def test_white_balance_is_told_and_leaves_the_samples_alone(run, night):
    run("develop", *NIGHT, "-o", "a.dng")
    run("develop", *NIGHT, "-o", "b.dng", "--wb", "1,1,4")
    assert np.array_equal(samples("a.dng"), samples("b.dng"))
    with rawpy.imread("b.dng") as raw:
        gains = np.array(raw.camera_whitebalance[:3])
    assert gains / gains[1] == pytest.approx([1, 1, 4], rel=1e-4)


def test_denoise_changes_the_samples_and_is_told(run, night):
    run("develop", *NIGHT, "-o", "a.dng")
    run("develop", *NIGHT, "-o", "b.dng", "--denoise", "0.25")
    assert not np.array_equal(samples("a.dng"), samples("b.dng"))
    assert tiff.field(tiff.RATIONAL, 0.25).value in Path("b.dng").read_bytes()
    assert tiff.field(tiff.RATIONAL, 0.25).value not in Path("a.dng").read_bytes()


def test_white_that_no_gain_lifts_stays_neutral(run, tmp_path):
    sets.write(tmp_path / "w.dng", sets.scene(3), exposure=Exposure(1, 100, 2), white_balance=(0.6, 1, 1.5))
    assert run("develop", "w.dng", "--amp", "100", "-o", "a.dng")[0] == 0
    assert np.ptp(rendered("a.dng")[20:-20, 20:-20].astype(int), axis=2).max() <= 2


def test_it_is_not_developed_again(run, night):
    run("develop", *NIGHT, "-o", "a.dng")
    assert refusal(Path("a.dng")).startswith("a linear DNG is demosaicked already;")
    code, _, err = run("develop", "a.dng", "-o", "b.png")
    assert code == 1 and err.startswith("darkroom: a.dng: a linear DNG") and not Path("b.png").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--exposure", "1"), "--exposure: finishes a picture, and a DNG is finished by what opens it; leave it out"),
        (("--tone", "1", "--highlights", "roll"), "--tone, --highlights: finish a picture, and a DNG"),
        (("--bits", "8"), "*.dng: .dng holds 16 bits, not 8"),
        (("-o", "a.png"), "a.png: is no name for --format dng"),
    ],
)
def test_what_finishes_a_picture_is_refused(run, night, words, complaint):
    code, out, err = run("develop", *NIGHT, "--format", "dng", *(() if "-o" in words else ("-o", "new/")), *words)
    assert (code, out) == (2, "") and err.startswith(f"darkroom: {complaint}") and err.count("\n") == 1
    assert not list(Path().glob("new/*"))


def test_a_dry_run_and_json_name_the_dng(run, night):
    code, out, _ = run("develop", *NIGHT, "--format", "dng", "-o", "new/", "--dry-run")
    assert (code, out) == (0, f"night.dng -> {Path('new', 'night.dng')}\n")
    code, out, _ = run("develop", *NIGHT, "--format", "dng", "-o", "new/", "--json")
    assert code == 0 and json.loads(out)["output"] == str(Path("new", "night.dng"))


def test_it_never_replaces_the_raw_it_comes_from(run, night):
    code, _, err = run("develop", *NIGHT, "--format", "dng")
    assert code == 2 and "is a raw file to be developed; choose another -o" in err


def test_dngs_of_an_earlier_run_are_no_photos(run, night, tmp_path):
    """So the same command again does what is left, though photos and DNGs share a folder."""
    night.rename("a.nef")
    words = ("develop", ".", "--amp", "50", "--format", "dng")
    assert run(*words)[0] == 0 and linear.is_own(Path("a.dng"))
    made = Path("a.dng").read_bytes()
    shutil.copy("a.nef", "b.nef")
    code, _, err = run(*words)
    assert code == 0 and "1 written, 1 skipped, 0 failed" in err
    assert sorted(path.name for path in tmp_path.glob("[ab].*")) == ["a.dng", "a.nef", "b.dng", "b.nef"]
    assert Path("a.dng").read_bytes() == made
    for raw in ("a.nef", "b.nef"):
        Path(raw).unlink()
    code, _, err = run(*words)
    assert (code, err) == (2, "darkroom: .: holds no raw photos but DNGs that darkroom made; name another\n")


def test_photos_and_what_is_gone_are_no_dngs_of_ours(night, tmp_path):
    assert not linear.is_own(night) and not linear.is_own(tmp_path / "gone.dng")


def test_a_network_of_finished_colours_is_refused(run, night, tmp_path):
    from made import contract_for, write_network

    write_network(tmp_path / "srgb.onnx", promise=contract_for("bayer", input="sensor", output="srgb").to_json())
    code, _, err = run("develop", *NIGHT, "--model", "srgb.onnx", "-o", "a.dng")
    assert code == 1 and "test: gives finished colours, a DNG holds the camera's; leave --model out" in err


def test_after_an_error_nothing_is_left(tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(28, "full")

    real = linear._preview
    monkeypatch.setattr(linear, "_preview", fail)
    light = np.zeros((8, 8, 3), np.uint16)
    before = list(tmp_path.iterdir())
    with pytest.raises(OutputError, match=r"a\.dng: no space left"):
        linear.write(tmp_path / "a.dng", light, negative(), ratio=1, tags={}, overwrite=False)
    assert list(tmp_path.iterdir()) == before
    Path("a.dng").write_bytes(b"mine")
    monkeypatch.setattr(linear, "_preview", real)
    with pytest.raises(OutputError, match="already exists"):
        linear.write(tmp_path / "a.dng", light, negative(), ratio=1, tags={}, overwrite=False)
    assert Path("a.dng").read_bytes() == b"mine"


def test_the_colour_matrix_takes_daylight_to_what_the_sensor_sees_of_it(tmp_path):
    path = tmp_path / "a.dng"
    linear.write(path, np.zeros((64, 64, 3), np.uint16), negative(pixel_aspect=1.5), ratio=1, tags={}, overwrite=True)
    with TiffFile(path) as file:
        main, inside = file.pages[0], file.pages[0].pages[0]
        numbers = np.array(main.tags[50721].value, float).reshape(3, 3, 2)
        seen = (numbers[..., 0] / numbers[..., 1]) @ [0.9505, 1, 1.089]
        assert seen / seen[1] == pytest.approx([0.5, 1, 2 / 3], rel=2e-3)
        assert np.divide(*np.reshape(inside.tags[50718].value, (2, 2)).T).tolist() == [1.5, 1.0]  # DefaultScale
        assert main.tags[277].value == 3 and main.tags[262].value == 6


def test_the_preview_says_how_its_colours_are_sampled(run, night):
    run("develop", *NIGHT, "-o", "a.dng")
    with TiffFile("a.dng") as file:
        told = {tag.code: tag.value for tag in file.pages[0].tags.values()}
    assert told[254] == 1 and told[530] == (1, 1) and told[531] in (1, (1,))


@pytest.mark.parametrize(
    ("side", "long"),
    [(1, 1), (511, 511), (512, 512), (513, 272), (1000, 512), (1024, 512), (1025, 352), (1200, 400), (4000, 512)],
)
def test_tiles_are_the_fewest_and_equal_up_to_sixteen(side, long):
    assert linear._tile(np.empty((side, 100, 3), np.uint16)) == (long, 100)
    assert linear._tile(np.empty((100, side, 3), np.uint16)) == (100, long)


def test_tiles_go_row_by_row_and_end_with_the_picture():
    light = np.arange(520 * 1030 * 3, dtype=np.uint16).reshape(520, 1030, 3)
    tiles = list(linear._tiles(light))
    assert [tile.shape[:2] for tile in tiles] == [(rows, columns) for rows in (272, 248) for columns in (352, 352, 326)]
    assert np.array_equal(np.vstack([np.hstack(tiles[:3]), np.hstack(tiles[3:])]), light)


def numbers(told: tiff.Field) -> list[float]:
    kind = {BYTE: "B", SHORT: "<u2", LONG: "<u4", RATIONAL: "<u4", SIGNED_RATIONAL: "<i4"}[told.kind]
    found = np.frombuffer(told.value, kind)
    return (found[::2] / found[1::2] if told.kind in (RATIONAL, SIGNED_RATIONAL) else found).tolist()


@pytest.mark.parametrize(("aspect", "scale"), [(1.0, [1, 1]), (2.0, [2, 1]), (0.5, [1, 2])])
def test_the_samples_are_told_of_in_full(aspect, scale):
    light = np.zeros((520, 1030, 3), np.uint16)
    told = linear._samples(light, negative(pixel_aspect=aspect, denoised=0.75), [8, 100], [92, 50])
    assert {tag: numbers(field) for tag, field in told.items()} == {
        254: [0],
        256: [1030],
        257: [520],
        258: [16, 16, 16],
        259: [7],
        262: [34892],
        277: [3],
        284: [1],
        322: [352],
        323: [272],
        324: [8, 100],
        325: [92, 50],
        50713: [1, 1],
        50714: [0, 0, 0],
        50717: [65535] * 3,
        50718: scale,
        50719: [0, 0],
        50720: [1030, 520],
        50738: [0],
        50829: [0, 0, 520, 1030],
        50935: [0.75],
    }


def test_the_preview_is_told_of_in_full():
    told = linear._preview(np.zeros((20, 30, 3), np.uint8), 1000, 321)
    assert {tag: numbers(field) for tag, field in told.items()} == {
        254: [1],
        256: [30],
        257: [20],
        258: [8, 8, 8],
        259: [7],
        262: [6],
        273: [1000],
        277: [3],
        278: [20],
        279: [321],
        284: [1],
        529: pytest.approx([0.299, 0.587, 0.114]),
        530: [1, 1],
        531: [1],
        532: [0, 255, 128, 255, 128, 255],
        50970: [2],
    }


def test_colour_is_told_for_daylight_and_white_becomes_d50():
    told = linear._colour(negative())
    assert [numbers(told[tag]) for tag in (50706, 50707, 50730, 50778, 51110)] == [
        [1, 4, 0, 0], [1, 2, 0, 0], [0], [21], [1]
    ]  # fmt: skip
    forward = np.reshape(numbers(told[50964]), (3, 3))
    assert forward.sum(1) == pytest.approx([0.96422, 1, 0.82521], abs=1e-6)
    assert numbers(told[50728]) == pytest.approx(negative().neutral.tolist(), abs=1e-6)
    assert linear._colour(negative(camera=""))[50708].value == b"unknown\0"


@pytest.mark.parametrize(("ratio", "told"), [(2.0, "2"), (123.456789, "123.457"), (0.5, "0.5")])
def test_the_ratio_is_told_in_xmp(ratio, told):
    packet = linear._xmp(ratio).decode()
    assert f'darkroom:Ratio="{told}"' in packet
    assert packet.startswith('<?xpacket begin="\ufeff"') and packet.endswith('<?xpacket end="w"?>')


def test_of_the_photo_only_the_colour_space_is_not_told():
    kept = tiff.field(SHORT, 1)
    tags = {271: kept, 34665: {40961: kept, 40962: kept}}
    assert linear._told(tags) == {271: kept, 34665: {40962: kept}} and 40961 in tags[34665]
    assert linear._told({271: kept}) == {271: kept}


@pytest.mark.parametrize("shape", [(16, 32), (16, 20), (9, 32), (5, 7)])
def test_a_tile_at_the_edge_is_filled_up_to_the_size_of_all(shape):
    tile = np.random.default_rng(0).integers(0, 65536, (*shape, 3), np.uint16)
    decoded = imagecodecs.jpeg8_decode(linear._compressed((16, 32), tile))
    assert decoded.shape == (16, 32, 3) and np.array_equal(decoded[: shape[0], : shape[1]], tile)
