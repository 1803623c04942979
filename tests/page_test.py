"""The page in a real browser: what is drawn on it is read, and every control does what it says."""

import shutil
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.tiny import environment, takes_long

pytestmark = takes_long

STROKES = {
    3: [[(90, 60), (130, 45), (175, 55), (185, 90), (160, 125), (130, 135), (170, 145), (195, 185),
         (175, 225), (130, 238), (85, 220)]],
    4: [[(100, 50), (90, 100), (80, 150), (140, 150), (205, 150)],
        [(175, 60), (172, 150), (170, 240)]],
}  # fmt: skip
"""Digits on an area 280 high."""


def browser():
    """Chromium without a window; skips where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: the extra dev")
    found = shutil.which("chromium"), shutil.which("chromedriver")
    if None in found:
        pytest.skip("needs a browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = found[0]
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options, webdriver.ChromeService(found[1]))


@pytest.fixture(scope="module")
def driver():
    driver = browser()
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def address(driver, project, tmp_path_factory):
    """A server of a network that was trained for seconds on the sum of one to four digits."""
    del driver  # where there is none, nothing is trained
    folder = tmp_path_factory.mktemp("page")
    fields = {"data.name": "mnist-5k", "task.max_length": 4, "train.steps": 500}
    fields |= dict.fromkeys(("eval.test_sequences", "eval.validation_sequences"), 400)
    fields |= dict.fromkeys(("eval.every", "checkpoint.every"), 500)
    options = [f"--config.{name}={value}" for name, value in fields.items()]
    command = [sys.executable, "-m", "crnn_jax.main", "--config=sum8:quick", "--workdir=run"]
    env = environment(folder, project)
    del env["JAX_DISABLE_MOST_OPTIMIZATIONS"]  # here training takes longest
    given: dict[str, Any] = {"cwd": folder, "env": env}
    subprocess.run([*command, *options], check=True, capture_output=True, **given)
    command = [sys.executable, "-m", "crnn_jax.serve", "--workdir=run", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **given) as server:
        yield server.stdout.readline().split()[-1]
        server.terminate()


@pytest.fixture
def page(driver, address):
    """The page, just opened."""
    driver.get(address)
    yield Page(driver)
    # Neither errors nor what the policy refused; that a picture cannot be read is an answer.
    logged = [each["message"] for each in driver.get_log("browser")]
    assert [each for each in logged if "/predict" not in each] == []


class Page:
    """What people do on the page and see there."""

    def __init__(self, driver):
        self.driver = driver
        self.until(lambda: self.text("#hint"))

    def texts(self, selector):
        code = "return [...document.querySelectorAll(arguments[0])].map((each) => each.innerText)"
        return self.driver.execute_script(code, selector)

    def text(self, selector):
        return "".join(self.texts(selector))

    def answers(self):
        """The answer after each frame."""
        return self.texts("#frames strong")

    def drawn(self):
        """How many digits are still on the pad."""
        return len(self.texts("#frames .drawing"))

    def until(self, happens, seconds=20):
        end = time.monotonic() + seconds
        while not happens():
            assert time.monotonic() < end, (self.answers(), self.text("#note"))
            time.sleep(0.02)

    def click(self, name):
        self.driver.find_element("id", name).click()

    def press(self, key):
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(key).perform()

    def draw(self, digit, kind="mouse"):
        from selenium.webdriver.common.actions.action_builder import ActionBuilder
        from selenium.webdriver.common.actions.pointer_input import PointerInput

        pad = self.driver.find_element("id", "pad")
        scale = pad.size["height"] / 280
        middle = pad.size["width"] / 2, pad.size["height"] / 2
        for stroke in STROKES[digit]:
            builder = ActionBuilder(self.driver, mouse=PointerInput(kind, kind), duration=5)
            places = [(int(x * scale - middle[0]), int(y * scale - middle[1])) for x, y in stroke]
            builder.pointer_action.move_to(pad, *places[0]).pointer_down()
            for place in places[1:]:
                builder.pointer_action.move_to(pad, *place)
            builder.pointer_action.pointer_up()
            builder.perform()

    def resize(self, width):
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def test_a_3_and_a_4_are_7(page):
    page.draw(3)
    page.until(lambda: page.text("#text") == "3")
    page.click("next")
    page.draw(4)
    page.until(lambda: page.text("#text") == "7")
    assert page.answers() == ["3", "7"]
    assert page.text("#asks") == "Sum"
    assert float(page.text("#confidence .share").partition("%")[0]) > 50
    images = page.driver.find_elements("css selector", "#frames img")
    shapes = [image.get_property("naturalWidth") for image in images]
    assert shapes == [28, 28]


def test_a_pause_ends_a_digit_unless_it_is_not_to(page):
    page.draw(3, "touch")
    page.until(lambda: page.answers() == ["3"] and not page.drawn())
    page.click("pause")
    page.draw(4, "pen")
    page.until(lambda: page.answers() == ["3", "7"])
    time.sleep(1.3)
    assert page.drawn() == 1


def test_what_was_done_is_undone_by_keys_too(page):
    page.click("pause")
    page.draw(3)
    page.until(lambda: page.answers() == ["3"])
    page.press("\ue007")  # Enter
    page.draw(4)
    page.until(lambda: page.answers() == ["3", "7"])
    page.press("\ue00c")  # Escape
    page.until(lambda: page.answers() == [])
    assert page.text("#text") == "–"
    page.press("z")
    page.until(lambda: page.answers() == ["3", "7"])
    for _ in range(2):  # the strokes of the 4
        page.press("z")
    page.until(lambda: page.answers() == ["3"] and not page.drawn())
    page.press("z")
    page.until(lambda: page.drawn() == 1)
    page.click("undo")
    page.until(lambda: page.answers() == [])
    assert not page.driver.find_element("id", "undo").is_enabled()


def test_pictures_are_read_and_a_row_is_cut_apart(page, digits, tmp_path):
    def paths(**images):
        for name, image in images.items():
            Image.fromarray(image).save(tmp_path / f"{name}.png")
        return "\n".join(str(tmp_path / f"{name}.png") for name in images)

    files = page.driver.find_element("id", "files")
    files.send_keys(paths(one=digits[0]))
    page.until(lambda: len(page.answers()) == 1)
    row = np.concatenate([np.pad(digits[i], 9) for i in (1, 2)], axis=1)
    files.send_keys(paths(row=row))
    page.until(lambda: len(page.answers()) == 3)
    files.send_keys(paths(two=digits[2]))
    page.until(lambda: len(page.answers()) == 4)
    files.send_keys(paths(two=digits[2]))  # there is room for four: it begins anew
    page.until(lambda: len(page.answers()) == 1)
    (tmp_path / "none.png").write_bytes(b"no picture")
    files.send_keys(str(tmp_path / "none.png"))
    page.until(lambda: page.text("#note").startswith("none.png: cannot be read"))
    assert len(page.answers()) == 1


DROP = """
const done = arguments[0];
const canvas = document.createElement("canvas");
const context = canvas.getContext("2d");
context.fillStyle = "white";
context.fillRect(0, 0, 300, 150);
context.fillStyle = "black";
context.fillRect(140, 20, 18, 110);
canvas.toBlob((blob) => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([blob], "one.png"));
  document.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
  done();
});
"""
"""Drops a picture of a 1."""


def test_what_is_dropped_comes_after_what_is_drawn(page):
    page.click("pause")
    page.draw(3)
    page.until(lambda: page.answers() == ["3"])
    page.driver.execute_async_script(DROP)
    page.until(lambda: page.answers() == ["3", "4"])
    assert not page.drawn()


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_nothing_is_cut_off(width, page):
    page.resize(width)
    page.click("pause")
    page.draw(3)
    page.until(lambda: page.answers() == ["3"])
    outside = page.driver.execute_script(
        """return [...document.querySelectorAll("body *")].filter((each) => {
          const { left, right } = each.getBoundingClientRect();
          return each.checkVisibility() && (left < 0 || right > innerWidth);
        }).map((each) => each.outerHTML)"""
    )
    assert outside == []
    assert page.driver.execute_script("return document.documentElement.scrollWidth") <= width
