"""`darkroom demo`: a scene drawn, photographed far too dark, and developed."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from darkroom.cli import options, say

RATIO, ORDINARY = 200, 8
"""How much too dark the scene is photographed: in extreme darkness, and as most photos of a night are."""
GAINS = (2.1, 1.0, 1.7)
"""The camera's white balance: red, green, blue."""
GAIN = 1.0
"""DN per electron of the sensor that is imitated."""
DIVIDER = 6
"""Pixels of white between the two pictures."""


def demo(
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FOLDER", help="Where to put the files; an earlier demo's are replaced."
        ),
    ] = Path("darkroom-demo"),
    ordinary: Annotated[
        bool, typer.Option("--ordinary", help="8 times too dark instead, as most photos of a night are.")
    ] = False,
    amp: Annotated[
        str | None,
        typer.Option(metavar="AMP", help="Ratio to amplify by. [default: what the photo was darkened by]"),
    ] = None,
    model: options.ModelName = None,
    device: options.Device = "auto",
) -> None:
    """Draw a night scene, photograph it 200 times too dark with a real sensor's noise, and develop it.

    Writes the raw photo, the developed picture, and a before | after picture: plainly amplified beside developed.

    \b
    Example:
      darkroom demo --ordinary
    """
    from darkroom.decode import child

    child.running()
    import numpy as np

    from darkroom.decode import raw
    from darkroom.develop import amplifier, pipeline
    from darkroom.develop import model as models
    from darkroom.write import image

    ratio, name = (ORDINARY, "ordinary") if ordinary else (RATIO, "demo")
    settings = pipeline.Settings(amp=amplifier.parse(amp or str(ratio)))
    photo, picture, both = (output / f"{name}{end}" for end in (".dng", ".png", "-before-after.png"))
    (network,) = options.networks([model or models.default("bayer")], device).values()
    image.make_folder(output)
    _photograph(photo, ratio)
    frame = raw.read(photo)
    for note in network.notes:
        say.line(note, file=sys.stderr)
    after = pipeline.expose(frame, network, settings)
    before = pipeline.expose(frame, network, replace(settings, denoise=0.0))
    image.write(after.picture, picture, exif=b"", overwrite=True)
    white = np.full((len(after.picture), DIVIDER, 3), 255, np.uint8)
    beside = np.hstack([before.picture, white, after.picture]).astype(np.uint8, copy=False)
    image.write(beside, both, exif=b"", overwrite=True)
    by = f"by {network.contract.name} on {network.device} {network.precision} in {after.seconds.network:.1f} s"
    for path, what in (
        (photo, f"the raw photo, {ratio} times too dark"),
        (picture, f"developed at x{after.ratio:.3g} {by}"),
        (both, "before | after: plainly amplified | developed"),
    ):
        say.line(f"{what}:", file=sys.stderr)
        say.line(path)


def _photograph(path: Path, ratio: float) -> None:
    """Write the scene as the raw file a camera would, had it exposed so many times too short."""
    import numpy as np

    from darkroom.cli import scene
    from darkroom.develop import cfa
    from darkroom.sensor import noise
    from darkroom.sensor.simulate import CAMERA_FROM_SRGB
    from darkroom.write import dng

    camera = noise.camera("sonya7s2")
    sensor = noise.central(camera, GAIN, shape=0.0)
    seen = np.clip(scene.draw() @ CAMERA_FROM_SRGB.T, 0, None) / np.array(GAINS, np.float32)
    recorded = noise.record(cfa.sample(seen, "bayer") / ratio, sensor, np.random.default_rng(0))
    mosaic = np.clip(recorded + camera.black, 0, 65535).astype(np.uint16)
    dng.write(
        path,
        mosaic,
        black=camera.black,
        white=int(camera.white),
        white_balance=GAINS,
        camera_to_srgb=np.linalg.inv(CAMERA_FROM_SRGB),
    )
