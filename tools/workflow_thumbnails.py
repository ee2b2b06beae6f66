"""Draw the workflows' pictures for ComfyUI's template browser: faces of a result, and a line that says what it is.

    python tools/workflow_thumbnails.py

A development tool. The browser shows a square picture above the file's name and has no place for the description of an
extension's template, so the line stands in the picture. The faces are results of the two embedded models, which take
half a minute.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CHECKOUT = Path(__file__).parents[1]
sys.path.insert(0, str(CHECKOUT))

from latentsync_core.demo import CLIP, MOUTH, VOICE  # noqa: E402
from latentsync_core.generators.choice import GeneratorChoice  # noqa: E402
from latentsync_core.media import VideoReader  # noqa: E402
from latentsync_core.pipeline.lipsync import lipsync  # noqa: E402
from latentsync_core.settings import Settings  # noqa: E402

SIDE, BAND = 480, 110  # pixels: of the picture, and of the line's part below the faces
FONT = 34  # pixels; the browser shows the picture at about half its size
GROUND, TEXT = "#171718", "#ffffff"
QUALITY = 88
FACE = (96, 40, 416, 360)  # left, top, right, bottom of the portrait's head in the clip's 512 x 512 pixels


@dataclass(frozen=True)
class Tile:
    """The line below a workflow's picture, in up to two rows; how many faces stand beside one another above it.

    generator: whose result they are.
    """

    line: str
    faces: int
    generator: str = "latentsync"


TILES = {
    "try_without_download": Tile("Nothing to download:\npress Run", 1),
    "lipsync_simple": Tile("Your clip, your voice,\none node", 2),
    "lipsync": Tile("Stage by stage,\nevery joint open", 2),
    "lipsync_stock_sampler": Tile("With ComfyUI's own\nKSampler", 2),
    "lipsync_restore_faces": Tile("Restore or sharpen\nthe faces in between", 2),
    "lipsync_ablation": Tile("Audio positions on and off,\nguidance 1 and 1.5", 4),
    "sweep_guidance_steps": Tile("Two guidance scales, two\nnumbers of steps, scored", 4),
    "musetalk": Tile("MuseTalk in place\nof LatentSync", 1, "musetalk"),
}


def speak(generator: str, folder: Path) -> Path:
    """The demo's clip with the demo's voice, by an embedded model."""
    settings, path = Settings(), folder / f"{generator}.mp4"
    lipsync(CLIP, VOICE, path, GeneratorChoice(generator, checkpoint="embedded").load(settings), settings)
    return path


def telling_frames(count: int) -> list[int]:
    """Frames of the demo that show its mouth from wide open to shut, by the voice's own opening."""
    opening = np.array(json.loads(MOUTH.read_text(encoding="utf-8"))["opening"])
    inner = np.arange(5, len(opening) - 5)  # the sentence, without the rest before and after it
    order = inner[np.argsort(-opening[inner], kind="stable")]
    return [int(order[round(place)]) for place in np.linspace(0, len(order) - 1, count)]


def faces_of(video: Path, count: int) -> list[Image.Image]:
    """Some telling faces of a video of the demo's portrait."""
    with VideoReader(video) as reader:
        return [Image.fromarray(frame.rgb()).crop(FACE) for frame in reader.frames_at(telling_frames(count))]


def draw(tile: Tile, video: Path) -> Image.Image:
    """A square picture: the faces beside one another, and the line below."""
    picture = Image.new("RGB", (SIDE, SIDE), GROUND)
    width, height = SIDE // tile.faces, SIDE - BAND
    for index, face in enumerate(faces_of(video, tile.faces)):
        picture.paste(filling(face, width, height), (index * width, 0))
    pen = ImageDraw.Draw(picture)
    middle = SIDE / 2, SIDE - BAND / 2
    pen.multiline_text(middle, tile.line, TEXT, ImageFont.load_default(FONT), anchor="mm", align="center")
    return picture


def filling(face: Image.Image, width: int, height: int) -> Image.Image:
    """The middle of a face in so many pixels, as large as it goes."""
    scale = max(width / face.width, height / face.height)
    whole = face.resize((round(face.width * scale), round(face.height * scale)), Image.Resampling.LANCZOS)
    left, top = (whole.width - width) // 2, (whole.height - height) // 2
    return whole.crop((left, top, left + width, top + height))


def main() -> int:
    """Write a picture beside every workflow, or beside those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("workflows", nargs="*", help="names without .json; all if none is given")
    names = parser.parse_args().workflows or list(TILES)
    if unknown := [name for name in names if name not in TILES]:
        parser.error(f"{unknown[0]} is no workflow; there are {', '.join(TILES)}")
    with tempfile.TemporaryDirectory() as folder:
        spoken = {kind: speak(kind, Path(folder)) for kind in {TILES[name].generator for name in names}}
        for name in names:
            path = CHECKOUT / "workflows" / f"{name}.jpg"
            draw(TILES[name], spoken[TILES[name].generator]).save(path, quality=QUALITY)
            print(f"{path.relative_to(CHECKOUT)} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
