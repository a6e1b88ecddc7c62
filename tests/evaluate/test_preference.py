"""The blind comparison: every two systems meet, nothing tells which is which, the end counts right."""

import csv
import json
import re
import shutil
import socket
import subprocess
import time
from base64 import b64decode
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
from made import draw_photos, write_average
from pages import checked

from darkroom.evaluate import preference, simulated
from darkroom.evaluate.preference import Pairs
from darkroom.evaluate.systems import Made

LEFT, RIGHT, DOWN, BACK, ESCAPE = "\ue012", "\ue014", "\ue015", "\ue003", "\ue00c"
"""WebDriver's words for keys."""


def pairs_of(tmp_path: Path, *systems: str, ratios=(50.0, 100.0)) -> Pairs:
    """Every two systems on three photos at some ratios; the brighter picture is that of the system named later."""
    pairs = Pairs()
    for dark in simulated.plan(draw_photos(tmp_path / "photos"), ratios=ratios):
        case = simulated.case(dark)
        pairs.keep(
            case, {name: Made(np.full((64, 64, 3), 0.2 + 0.3 * i, np.float32)) for i, name in enumerate(systems)}
        )
    return pairs


def test_every_two_systems_meet_on_every_dark_raw(tmp_path):
    pairs = pairs_of(tmp_path, "a", "b", "c")
    met = [(each["photo"], each["ratio"], each["first"], each["second"]) for each in pairs.questions]
    assert len(met) == len(set(met)) == 3 * 2 * 3 and len(pairs.pictures) == 3 * 2 * 3


def test_the_page_needs_nothing_else_and_shows_no_name(tmp_path):
    path = pairs_of(tmp_path, "fast-secret", "fine-secret").write(tmp_path)
    text = path.read_text()
    assert "secret" not in text and "://" not in text and 'src="' not in text
    told = json.loads(b64decode(re.search(r"TOLD='([^']*)'", text)[1]))
    assert {each["first"] for each in told["questions"]} == {"fast-secret"}
    assert "Which looks better?" in checked(text.replace("<br>", "")).text


class Browser:
    """Chromium without a window, by the WebDriver protocol."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        options = {"args": [*arguments, f"--user-data-dir={folder / 'profile'}"]}
        options["prefs"] = {"download.default_directory": str(folder), "download.prompt_for_download": False}
        wanted = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}}
        for _ in range(100):
            try:
                urlopen(f"{self.url}/status", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        self.url += f"/session/{self._post('/session', wanted)['sessionId']}"

    def _post(self, path: str, body: dict) -> dict:
        data = json.dumps(body).encode()
        with urlopen(Request(self.url + path, data, {"Content-Type": "application/json"}), timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, page: Path) -> None:
        self._post("/url", {"url": page.as_uri()})

    def press(self, *keys: str) -> None:
        strokes = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._post("/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]})

    def says(self, script: str):
        return self._post("/execute/sync", {"script": f"return {script}", "args": []})

    def close(self) -> None:
        urlopen(Request(self.url, method="DELETE"), timeout=30).close()
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture
def browser(tmp_path):
    if not (shutil.which("chromedriver") and (shutil.which("chromium") or shutil.which("google-chrome"))):
        pytest.skip("no Chromium with its driver on this machine")
    opened = Browser(tmp_path)
    yield opened
    opened.close()


def test_the_keyboard_leads_through_to_a_table_and_a_csv(tmp_path, browser):
    pairs = pairs_of(tmp_path, "dim", "lit", ratios=(50.0,))
    browser.open(pairs.write(tmp_path))
    assert browser.says("document.getElementById('count').textContent") == "1 of 3"
    left = []
    brighter = "PICTURES.indexOf(document.getElementById('left').src) % 2"
    for _ in range(3):  # the lit one is better, twice; then there is no difference
        left.append(browser.says(brighter))
        browser.press(DOWN if len(left) == 3 else LEFT if left[-1] else RIGHT)
        if len(left) == 1:
            browser.press(BACK)
            assert browser.says("document.getElementById('count').textContent") == "1 of 3", "taken back"
            browser.press(LEFT if left[-1] else RIGHT)
    cells = browser.says("[...document.querySelectorAll('#result td')].map(each => each.textContent)")
    assert cells == ["lit", "dim", "2", "0", "1", "100 %", "34 % to 100 %"], "Wilson's interval of 2 of 2"
    saved = tmp_path / preference.CSV
    for _ in range(100):
        if saved.exists():
            break
        time.sleep(0.1)
    with saved.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["better"] for row in rows] == ["lit", "lit", ""]
    assert [row["left"] for row in rows] == ["lit" if each else "dim" for each in left]
    assert {row["photo"] for row in rows} == {"0.png", "1.png", "2.png"}
    assert not browser.says("document.getElementById('pair').offsetHeight"), "no picture beside the result"


def test_escape_ends_early_and_chance_decides_sides_and_order(tmp_path, browser):
    pairs = pairs_of(tmp_path, "dim", "lit", "bright", ratios=(50.0, 100.0))
    page = pairs.write(tmp_path)
    drawn = set()
    for _ in range(6):
        browser.open(page)
        drawn.add(tuple(browser.says("asked.map(q => [q.photo, q.first, q.second, q.turned].join())")))
    assert len(drawn) > 1 and len({frozenset(each) for each in drawn}) > 1
    browser.press(LEFT, ESCAPE)
    assert browser.says("document.querySelectorAll('#result tbody tr').length") == 1


def test_the_command_writes_the_page(run, tmp_path):
    photos, folder = draw_photos(tmp_path / "photos"), tmp_path / "ab"
    network = write_average(tmp_path / "n.onnx", 3)
    words = ("evaluate", network, "--simulate", photos, "--ratios", "100", "--ab", folder)
    code, _, err = run(*words, "--baselines", "libraw")
    assert code == 0 and (folder / "index.html").exists()
    code, _, err = run(*words[:-1], tmp_path / "alone")
    assert code == 2 and "--ab: compares two systems on one sensor; name another network" in err
    assert not (tmp_path / "alone").exists() and err.count("\n") == 1
