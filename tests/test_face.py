"""`import darkroom`: what it gives, whatever else was imported."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_develop_stays_a_function_beside_the_room_of_its_name():
    code = (
        "import darkroom; first = darkroom.develop; assert callable(first);"
        "from darkroom.develop import pipeline; import darkroom.develop.model;"
        "assert darkroom.develop is first and callable(pipeline.develop)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_develop_is_a_function_even_where_the_room_was_imported_first():
    code = "from darkroom.develop import pipeline; import darkroom; assert callable(darkroom.develop), darkroom.develop"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
