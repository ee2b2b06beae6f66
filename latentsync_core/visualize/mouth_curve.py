"""How well the demo's mouth follows its voice: the opening measured by the face mesh, beside the true one."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..demo import MOUTH
from ..faces import track_faces
from ..faces.mouth_opening import correlation, mouth_opening
from ..media import VideoReader

SIZE = (1100, 300)  # pixels
LEFT, RIGHT, TOP, BOTTOM = 24, 24, 48, 40  # margins
BACKGROUND, TEXT, MUTED = (24, 26, 30), (236, 236, 236), (150, 154, 160)
TRUE, FOUND = (150, 154, 160), (90, 170, 250)
RANGE = (2, 98)  # percentiles of a curve that span the image's height


@dataclass(frozen=True, eq=False)
class MouthCurves:
    """Openings of the mouth per frame, (frames,), NaN where there is no face.

    found: in distances of the outer eye corners (`mouth_opening`). true: 0 to 1. fps: frames per second.
    """

    found: np.ndarray
    true: np.ndarray
    fps: float

    @property
    def correlation(self) -> float:
        """Of the two curves: 1 where the mouth follows the voice exactly."""
        return correlation(self.found, self.true)

    @property
    def of_other_words(self) -> float:
        """Correlation with the truth of other words, the sentence's other half, as a control: about 0 is expected."""
        return correlation(self.found, np.roll(self.true, len(self.true) // 2))

    def save(self, path: Path) -> None:
        """Draw both curves, each on its own scale, as PNG."""
        picture = Image.new("RGB", SIZE, BACKGROUND)
        draw, font = ImageDraw.Draw(picture), ImageFont.load_default(16)
        title = f"opening of the mouth: correlation {self.correlation:.2f}, with other words {self.of_other_words:.2f}"
        draw.text((LEFT, TOP // 2), title, TEXT, font, anchor="lm")
        draw.text((SIZE[0] - RIGHT - 180, TOP // 2), "asked for", TRUE, font, anchor="lm")
        draw.text((SIZE[0] - RIGHT - 80, TOP // 2), "generated", FOUND, font, anchor="lm")
        for second in range(int(len(self.true) / self.fps) + 1):
            x = self._x(second * self.fps)
            draw.line((x, TOP, x, SIZE[1] - BOTTOM), (44, 47, 54))
            draw.text((x, SIZE[1] - BOTTOM // 2), f"{second} s", MUTED, font, anchor="mm")
        for curve, colour in ((self.true, TRUE), (self.found, FOUND)):
            low, high = np.nanpercentile(curve, RANGE)
            heights = (curve - low) / max(high - low, 1e-6)
            known = [(self._x(i), self._y(h)) for i, h in enumerate(heights) if not np.isnan(h)]
            draw.line(known, colour, 3, joint="curve")
        picture.save(path, format="PNG")

    def _x(self, frame: float) -> float:
        return LEFT + (SIZE[0] - LEFT - RIGHT) * frame / max(len(self.true) - 1, 1)

    def _y(self, share: float) -> float:
        return SIZE[1] - BOTTOM - (SIZE[1] - TOP - BOTTOM) * min(max(share, -0.05), 1.05)


def measure_mouth(video: Path) -> MouthCurves:
    """Measure the mouth in the demo's clip dubbed with the demo's voice."""
    truth = json.loads(MOUTH.read_text(encoding="utf-8"))
    with VideoReader(video) as reader:
        fps = float(reader.info.fps)
        found = mouth_opening(track_faces(frame.rgb() for frame in reader.frames()).mesh)
    spoken = int(len(truth["opening"]) * fps / truth["fps"])
    found = found[:spoken]
    at = np.arange(len(found)) * truth["fps"] / fps
    return MouthCurves(found, np.interp(at, np.arange(len(truth["opening"])), truth["opening"]), fps)
