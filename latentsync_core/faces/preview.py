"""Show what was tracked: a few frames of the clip with the numbered face, and where the mouth will be redrawn."""

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from .face_track import FaceTrack
from .paste import mouth_share, soft_mask

RESOLUTION = 256  # pixels; the matrices' crop size
FRAME_COLOUR, POINT_COLOUR = (80, 220, 120), (255, 210, 60)
FACE_NUMBER = "1"


def preview_frames(reader, track: FaceTrack, matrices: np.ndarray, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Up to `count` frames spread over the clip.

    reader: yields the track's frames. matrices: (N, 2, 3) for 256-pixel crops. Returns pictures (n, H, W, 3) and mouth
    masks (n, H, W), float32 in 0..1; a frame without a face has an empty mask.
    """
    chosen = np.unique(np.linspace(0, len(track) - 1, count).round().astype(int)).tolist()
    pictures, masks = [], []
    for frame in reader.frames_at(chosen):
        index, image = frame.index, frame.rgb()
        present = bool(track.present[index])
        picture = draw_face(image, track.boxes[index], track.points[index]) if present else image
        mask = np.zeros(image.shape[:2], np.float32)
        if present:
            mask = soft_mask(matrices[index], *image.shape[:2], RESOLUTION, mouth_share(RESOLUTION))
        pictures.append(torch.from_numpy(np.array(picture)).float() / 255)
        masks.append(torch.from_numpy(mask))
    return torch.stack(pictures), torch.stack(masks)


def draw_face(image: np.ndarray, box: np.ndarray, points: np.ndarray) -> Image.Image:
    """The picture with a numbered box (x0, y0, x1, y1) and the three alignment points (3, 2) drawn in."""
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    line = max(round(min(picture.size) / 300), 2)  # pixels
    x0, y0, x1, y1 = (float(v) for v in box)
    draw.rectangle((x0, y0, x1, y1), outline=FRAME_COLOUR, width=line)
    for x, y in points.tolist():
        draw.ellipse((x - 2 * line, y - 2 * line, x + 2 * line, y + 2 * line), fill=POINT_COLOUR)
    font = ImageFont.load_default(12 * line)
    draw.text((x0, y0 - line), FACE_NUMBER, FRAME_COLOUR, font, anchor="lb")
    return picture
