"""The networks' convolution as a photo filter, against plain NumPy, and the command around it."""

import functools
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from crnn_jax import UserError
from crnn_jax.pictures import filters
from crnn_jax.pictures.filters import apply_filters, edge_maps, main
from tests.files import content

TABLE = [
    [1, 4, 7, 4, 1],
    [4, 16, 26, 16, 4],
    [7, 26, 41, 26, 7],
    [4, 16, 26, 16, 4],
    [1, 4, 7, 4, 1],
]


def plain_sepia(image):
    red, green, blue = np.moveaxis(image, -1, 0)
    return np.stack(
        [
            0.393 * red + 0.769 * green + 0.189 * blue,
            0.349 * red + 0.686 * green + 0.168 * blue,
            0.272 * red + 0.534 * green + 0.131 * blue,
        ],
        axis=-1,
    )


def plain_gaussian(image):
    height, width, channels = image.shape
    blurred = np.zeros((height - 4, width - 4, channels))
    for i, j in np.ndindex(5, 5):
        blurred += TABLE[i][j] / 273 * image[i : i + height - 4, j : j + width - 4]
    return blurred


def plain_edges(image):
    height, width, _ = image.shape
    edges = np.zeros_like(image)
    for y, x in np.ndindex(height, width):
        right = image[y, x + 1] if x + 1 < width else 0
        below = image[y + 1, x] if y + 1 < height else 0
        edges[y, x] = np.maximum(0, np.maximum(image[y, x] - right, image[y, x] - below))
    return edges


def plain_pool(image):
    height, width, channels = image.shape
    pooled = np.zeros((height // 2, width // 2, channels))
    for y, x in np.ndindex(height // 2, width // 2):
        pooled[y, x] = image[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].max(axis=(0, 1))
    return pooled


PLAIN = {
    "sepia": plain_sepia,
    "gaussian": plain_gaussian,
    "edges": plain_edges,
    "pool": plain_pool,
}


def plain(image, names):
    for name in names:
        image = PLAIN[name](image)
    return image


def noise(*shape):
    return np.random.default_rng(0).random(shape)


CHAINS = [
    ["sepia"],
    ["gaussian"],
    ["edges"],
    ["pool"],
    ["gaussian", "sepia", "edges"],
    ["edges", "pool", "gaussian", "pool"],
]


@pytest.mark.parametrize("names", CHAINS, ids="-".join)
def test_filters_are_what_plain_numpy_computes(names):
    image = noise(31, 42, 3)
    found = apply_filters(image, names)
    assert found.dtype == np.float32
    expected = plain(image, names)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_sepia_then_gaussian_of_128_pixels_is_124_and_not_clipped():
    image = noise(128, 128, 3)
    image[:64] = 1
    found = apply_filters(image, ["sepia", "gaussian"])
    assert found.shape == (124, 124, 3)
    np.testing.assert_allclose(found, plain(image, ["sepia", "gaussian"]), rtol=0, atol=1e-6)
    np.testing.assert_allclose(found[0, 0], [1.351, 1.203, 0.937], rtol=0, atol=1e-6)


def test_grey_becomes_sepia_and_other_filters_take_any_channels():
    grey = noise(9, 10, 1)
    expected = plain_sepia(np.repeat(grey, 3, axis=-1))
    np.testing.assert_allclose(apply_filters(grey, ["sepia"]), expected, rtol=0, atol=1e-6)
    image = noise(9, 10, 4)
    names = ["gaussian", "edges", "pool"]
    np.testing.assert_allclose(apply_filters(image, names), plain(image, names), atol=1e-6)


LETTER = np.array(
    [
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0, 0, 0],
        [0, 0, 1, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ],
    np.float32,
)
FALLS_TO_THE_RIGHT = [
    [0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 1, 0, 0, 0, 0, 0],
    [0, 0, 1, 0, 0, 0, 0, 0],
    [0, 0, 1, 0, 0, 0, 0, 0],
    [0, 0, 1, 0, 0, 0, 0, 0],
    [0, 0, 1, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 1, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0],
]
FALLS_DOWNWARDS = [
    [0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 1, 1, 1, 1, 0, 0],
    [0, 0, 0, 0, 0, 0, 0, 0],
]
POOLED_RIGHT = [
    [0, 1, 0, 0],
    [0, 1, 0, 0],
    [0, 1, 0, 0],
    [0, 0, 1, 0],
]
POOLED_DOWN = [
    [0, 0, 0, 0],
    [0, 0, 0, 0],
    [0, 0, 0, 0],
    [0, 1, 1, 0],
]
POOLED = [
    [0, 1, 0, 0],
    [0, 1, 0, 0],
    [0, 1, 0, 0],
    [0, 1, 1, 0],
]


def test_the_letter_l():
    maps = edge_maps(np.pad(LETTER, ((0, 1), (0, 1)))[..., None])[:, :, 0]
    np.testing.assert_array_equal(maps[..., 0], FALLS_TO_THE_RIGHT)
    np.testing.assert_array_equal(maps[..., 1], FALLS_DOWNWARDS)
    pooled = apply_filters(maps, ["pool"])
    np.testing.assert_array_equal(pooled[..., 0], POOLED_RIGHT)
    np.testing.assert_array_equal(pooled[..., 1], POOLED_DOWN)
    np.testing.assert_array_equal(
        apply_filters(LETTER[..., None], ["edges", "pool"])[..., 0], POOLED
    )


@pytest.mark.parametrize("pixels", [1, 90, 200])
@pytest.mark.parametrize("names", CHAINS, ids="-".join)
def test_bands_of_rows_change_nothing(names, pixels, monkeypatch):
    image = noise(31, 42, 3)
    whole = apply_filters(image, names)
    bands = []
    for name, chosen in filters.FILTERS.items():
        noted = functools.partial(lambda layer, x: bands.append(x.shape) or layer(x), chosen.layer)
        monkeypatch.setitem(filters.FILTERS, name, chosen._replace(layer=noted))
    monkeypatch.setattr(filters, "_BAND_PIXELS", pixels)
    in_bands = apply_filters(image, names)
    assert len(bands) >= 3 * len(names)
    assert len(set(bands)) <= 2 * len(names)  # the whole, for its shape, and the bands
    # A sum may be rounded otherwise in a product of another size; a wrong row would be far off.
    np.testing.assert_allclose(in_bands, whole, rtol=0, atol=3e-7)
    if set(names) <= {"edges", "pool"}:
        np.testing.assert_array_equal(in_bands, whole)


def test_accelerators_multiply_with_all_bits(monkeypatch):
    seen = []

    def layer(frame):
        seen.append(jax.config.jax_default_matmul_precision)
        return frame

    monkeypatch.setitem(filters.FILTERS, "sepia", filters.Filter(layer, window=1))
    apply_filters(noise(2, 2, 3), ["sepia"])
    assert set(seen) == {"highest"}


@pytest.mark.parametrize(
    ("image", "names", "words"),
    [
        (noise(8, 8, 3), [], "is no filter: expected some of sepia, gaussian, edges, pool"),
        (noise(8, 8, 3), ["sepai"], "'sepai' is no filter .did you mean sepia"),
        (noise(8, 8), ["sepia"], "shape .8, 8.: expected floats"),
        (noise(8, 0, 3), ["sepia"], "shape .8, 0, 3.: expected floats"),
        (np.zeros((8, 8, 3), np.uint8), ["sepia"], "of uint8.* expected floats"),
        (noise(8, 8, 2), ["sepia"], "sepia needs 1 channel .* has 2"),
        (noise(4, 9, 3), ["gaussian"], "gaussian needs .* 5×5 .* gets 9×4"),
        (noise(9, 9, 3), ["pool", "gaussian"], "gaussian needs .* 5×5 .* gets 4×4"),
        (noise(1, 9, 3), ["pool"], "pool needs .* 2×2 .* gets 9×1"),
    ],
)
def test_an_image_that_does_not_fit_is_refused(image, names, words):
    with pytest.raises(UserError, match=words):
        apply_filters(image, names)


def test_the_least_sizes_are_taken():
    assert apply_filters(noise(5, 5, 3), ["gaussian"]).shape == (1, 1, 3)
    assert apply_filters(noise(2, 3, 3), ["pool"]).shape == (1, 1, 3)
    assert apply_filters(noise(1, 1, 3), ["edges", "sepia"]).shape == (1, 1, 3)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder: photo.png of 24x20 pixels, and files that are none or damaged."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo()).save("photo.png")
    Image.new("RGB", (4, 9)).save("small.png")
    Image.new("RGB", (66_000, 1)).save("wide.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "photo.png").read_bytes()[:-400])
    (tmp_path / "words.png").write_text("no image")
    (tmp_path / "program.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to("photo.png")
    return tmp_path


def photo():
    """Noise, white on the left."""
    pixels = np.random.default_rng(1).integers(0, 256, (20, 24, 3)).astype(np.uint8)
    pixels[:, :8] = 255
    return pixels


def assert_holds(path, expected):
    """The file has this image's pixels, rounded; a half may be rounded up or down."""
    with Image.open(path) as image:
        assert image.mode == "RGB"
        pixels = np.asarray(image)
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected.clip(0, 1) * 255).max() < 0.501


def test_a_file_becomes_the_filtered_file(here, capsys):
    before = content(here)
    (here / "out.png").write_text("of before")
    assert main(["photo.png", "--filters=sepia, gaussian", "-o", "out.png"]) == 0
    said = "wrote out.png: 20×16 pixels, after sepia, gaussian\n"
    assert capsys.readouterr() == (said, "")
    expected = plain(photo() / 255, ["sepia", "gaussian"])
    assert expected.max() > 1
    assert_holds("out.png", expected)
    after = content(here)
    del after[here / "out.png"]
    assert after == before


def test_a_jpeg_looks_like_the_png(here):
    smooth = np.linspace(0, 160, 40 * 60 * 3).reshape(40, 60, 3).astype(np.uint8)
    Image.fromarray(smooth).save("photo.png")
    assert main(["photo.png", "--filters=gaussian", "-o", "out.JPG"]) == 0
    with Image.open("out.JPG") as image:
        assert image.format == "JPEG"
        assert np.abs(np.asarray(image) - plain_gaussian(smooth)).max() <= 4


def test_the_image_is_turned_as_exif_says(here):
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned a quarter clockwise
    Image.fromarray(photo()).save("photo.png", exif=turned)
    assert main(["photo.png", "--filters=sepia", "-o", "out.png"]) == 0
    assert_holds("out.png", plain_sepia(np.rot90(photo(), -1) / 255))
    with Image.open("out.png") as image:
        assert not image.getexif()


def test_what_is_transparent_becomes_white(here):
    pixels = np.dstack([photo(), np.full((20, 24), 255, np.uint8)])
    pixels[:5, :, 3] = 0
    Image.fromarray(pixels).save("photo.png")
    seen = photo()
    seen[:5] = 255
    assert main(["photo.png", "--filters=gaussian", "-o", "out.png"]) == 0
    assert_holds("out.png", plain_gaussian(seen / 255))

    named = Image.new("P", (2, 1))
    named.putpalette([10, 20, 30, 200, 100, 50])
    named.putpixel((1, 0), 1)
    named.save("photo.png", transparency=0)
    assert main(["photo.png", "--filters=edges", "-o", "out.png"]) == 0
    assert_holds("out.png", np.array([[[255, 255, 255], [200, 100, 50]]]) / 255)


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535), (bool, 1)])
def test_grey_of_any_depth_becomes_rgb(here, dtype, white):
    grey = np.array([[0, 1], [1, 0], [1, 1]]) * white
    grey[0, 0] = white // 2
    Image.fromarray(grey.astype(dtype)).save("photo.png")
    assert main(["photo.png", "--filters=sepia", "-o", "out.png"]) == 0
    seen = np.repeat(grey[..., None] / white, 3, axis=-1)
    assert_holds("out.png", plain_sepia(seen))


GIVEN = {
    "nothing": ([], ["required: IMAGE, --filters, -o", "see --help"]),
    "no filters": (["photo.png", "-o", "out.png"], ["required: --filters"]),
    "no output": (["photo.png", "--filters=sepia"], ["required: -o"]),
    "unknown flag": (["photo.png", "--filters=sepia", "-o", "out.png", "--x"], ["--x", "--help"]),
    "unknown filter": (
        ["photo.png", "--filters=gaussian,sepai", "-o", "out.png"],
        ["'sepai' is no filter (did you mean sepia?)", "gaussian, edges, pool"],
    ),
    "empty filter": (["photo.png", "--filters=sepia,", "-o", "out.png"], ["'' is no filter"]),
}
IMAGES = {
    "missing": ("none.png", ["none.png: not found", "name a file"]),
    "name of two lines": ("no\nne.png", ["no ne.png: not found"]),
    "folder": ("folder.png", ["folder.png: a folder, expected a picture"]),
    "no image": ("words.png", ["words.png: cannot be read", "cannot identify", "JPEG, PNG"]),
    "cut off": ("cut.png", ["cut.png: cannot be read", "truncated"]),
    "a program": ("program.png", ["program.png: cannot be read", "cannot identify"]),
    "too small": ("small.png", ["gaussian needs an image of 5×5 pixels or more, and gets 4×9"]),
}
OUTPUTS = {
    "no suffix": ("out", ["-o out: expected a name that ends in .png, .jpg"]),
    "unknown suffix": ("out.xyz", ["-o out.xyz: expected a name that ends in .png, .jpg"]),
    "no folder": ("none/out.png", ["-o none/out.png cannot be written (No such file"]),
    "below a file": ("small.png/out.png", ["cannot be written (Not a directory)"]),
    "a folder": ("folder.png", ["-o folder.png cannot be written (Is a directory)"]),
    "too long": ("x" * 300 + ".png", ["cannot be written (File name too long)"]),
    "the image": ("photo.png", ["-o photo.png is the image itself: name another file"]),
    "link to the image": ("link.png", ["-o link.png is the image itself"]),
}
MISTAKES = {
    **GIVEN,
    **{
        f"image: {what}": ([name, "--filters=gaussian", "-o", "out.png"], words)
        for what, (name, words) in IMAGES.items()
    },
    **{
        f"output: {what}": (["photo.png", "--filters=sepia", "-o", name], words)
        for what, (name, words) in OUTPUTS.items()
    },
    "too wide for JPEG": (
        ["wide.png", "--filters=edges", "-o", "out.jpg"],
        ["-o out.jpg: JPEG ends at 65500 pixels"],
    ),
}


@pytest.mark.parametrize(("arguments", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(here, arguments, words, capfd):
    before = content(here)
    assert main(arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    for word in words:
        assert word in err
    assert content(here) == before


def test_a_disk_that_is_full_leaves_the_file_of_before(here, monkeypatch, capsys):
    def save(image, file, *args, **kwargs):
        file.write(b"a part")
        raise OSError(28, "No space left on device")

    (here / "out.png").write_text("of before")
    before = content(here)
    monkeypatch.setattr(Image.Image, "save", save)
    assert main(["photo.png", "--filters=sepia", "-o", "out.png"]) == 2
    expected = "error: -o out.png cannot be written (No space left on device): name another file\n"
    assert capsys.readouterr().err == expected
    assert content(here) == before


def test_a_very_large_image_is_refused_before_it_is_unpacked(here, monkeypatch, capsys):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    assert main(["photo.png", "--filters=sepia", "-o", "out.png"]) == 0  # Pillow would only warn
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    assert main(["photo.png", "--filters=sepia", "-o", "out.png"]) == 2
    assert "480 pixels" in capsys.readouterr().err


def test_the_command_in_a_process_of_its_own(here, project):
    child = subprocess.run(
        [
            sys.executable,
            "-m",
            "crnn_jax.pictures.filters",
            "photo.png",
            "--filters=pool",
            "-o",
            "out.png",
        ],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "", "PYTHONPATH": str(project), "JAX_PLATFORMS": "cpu", "PYTHONUTF8": "1"},
    )
    assert child.stderr == ""
    assert child.stdout == "wrote out.png: 12×10 pixels, after pool\n"
    assert child.returncode == 0
    assert_holds("out.png", plain_pool(photo() / 255))


def test_help_is_short_and_its_examples_are_understood(here, capsys):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert len(out.splitlines()) <= 30
    assert max(map(len, out.splitlines())) <= 100
    for name in filters.FILTERS:
        assert f"\n  {name} " in out
    Image.fromarray(photo()).save("photo.jpg")
    examples = [line.split() for line in out.splitlines() if line.startswith("  python")]
    assert len(examples) == 2
    for example in examples:
        assert example[:3] == ["python", "-m", "crnn_jax.pictures.filters"]
        assert main(example[3:]) == 0
