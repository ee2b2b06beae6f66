"""What a node shows below itself when it is done: pictures, and its result as a playing video."""

from collections.abc import Sequence
from pathlib import Path

from comfy_api.latest import io
from PIL import Image

from ...latentsync_core.visualize.track_preview import ShownFrame
from .folders import TemporaryFile, temporary_file

SHOWN_SIDE = 1024  # pixels at most of a picture that is only looked at
JPEG_QUALITY = 90
PLAYED = (".mp4",)  # by every browser


def shown_frames(frames: Sequence[ShownFrame], count: int, width: int, height: int) -> dict:
    """Numbered frames of a clip below the node, and for web/js/face_picker.js what is where in them.

    frames: to show, of `count` frames of width x height pixels in the clip.
    """
    faces = [
        {
            "frame": shown.index,
            "faces": {str(number): box.round().astype(int).tolist() for number, box in shown.boxes.items()},
        }
        for shown in frames
    ]
    clip = {"frames": count, "width": width, "height": height}
    return {"images": [saved(shown.picture) for shown in frames], "latentsync_faces": faces, "latentsync_clip": [clip]}


def shown_picture(picture: Image.Image) -> dict:
    """One picture below the node."""
    return {"images": [saved(picture)]}


def shown_video(path: str) -> dict:
    """A result in the host's temp folder, playing below the node; nothing where no browser plays its kind."""
    place = Path(path)
    return {"images": [entry(place.name)], "animated": (True,)} if place.suffix in PLAYED else {}


def saved(picture: Image.Image) -> dict[str, str]:
    """A picture in the host's temp folder, no larger than it is looked at."""
    picture.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    file = temporary_file(".jpg")
    picture.convert("RGB").save(file, quality=JPEG_QUALITY)
    return entry(ShownName.of(file))


class ShownName(str):
    """The name of a temporary file as the page is told it; the file stays for as long as the host's history tells it."""

    file: TemporaryFile

    @classmethod
    def of(cls, file: TemporaryFile) -> "ShownName":
        """The last part of a file's path, which keeps the file."""
        name = cls(Path(file).name)
        name.file = file
        return name


def entry(name: str) -> dict[str, str]:
    """A file of the temp folder as the page asks for it."""
    return {"filename": name, "subfolder": "", "type": io.FolderType.temp.value}
