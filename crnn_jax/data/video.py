"""Videos, decoded frame by frame by PyAV, which is FFmpeg."""

from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from crnn_jax import UserError
from crnn_jax.data.pages import LARGEST_PIXELS, check_size

# No others: a playlist would have FFmpeg open what it lists.
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,ogg,flv,asf"
_TURNS = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    -180: Image.Transpose.ROTATE_180,
    -90: Image.Transpose.ROTATE_270,
}


def video_frames(path: Path) -> Iterator[Callable[[], Image.Image]]:
    """Decode a video's frames in the order in which they are shown.

    As many as the decoder gives, whatever the file says of their number and rate. (A WebM or
    Matroska file that ends early cannot be told from a short one.)

    Yields:
      For each frame a function that makes its picture, RGB and upright. It must be called before
      the next frame is asked for. Grey frames have three equal channels.

    Raises:
      UserError: PyAV is not installed, or the file is no whole video, or its frames have more than
        50 million pixels.
    """
    try:
        import av
    except ImportError as error:
        raise UserError(
            f"{path}: a video needs PyAV, which is not installed: pip install 'crnn-jax[video]'"
        ) from error
    try:
        if not path.is_file():  # a pipe would keep us waiting
            found = "not a file" if path.exists() else "not found"
            raise UserError(f"{path}: {found}, expected a video")
        # As a file of ours: a name such as "http:a.mp4" is none of FFmpeg's protocols.
        with (
            open(path, "rb") as file,
            av.open(file, "r", options={"format_whitelist": _CONTAINERS}) as container,
        ):
            if not container.streams.video:
                raise UserError(f"{path}: there is no video in it, expected one with frames")
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1  # files are read by as many processes as cores
            stream.codec_context.options = {
                "err_detect": "explode",
                "max_pixels": str(LARGEST_PIXELS),
            }
            for frame in container.decode(stream):
                check_size((frame.width, frame.height), str(path))
                yield lambda frame=frame: _upright(frame.to_image(), frame.rotation)
    except UserError:
        raise
    except Exception as error:  # PyAV has some forty kinds
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(
            f"{path}: cannot be read ({reason}), expected a whole video; make it anew, for example "
            f"by ffmpeg -i {path.name} new.mp4"
        ) from error


def _upright(image: Image.Image, degrees: int) -> Image.Image:
    """Turn counterclockwise by right angles, the only ones that cameras note."""
    return image.transpose(_TURNS[degrees]) if degrees in _TURNS else image
