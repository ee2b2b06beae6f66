"""Pictures of the faces while they are denoised: one per window, with its number."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import comfy.latent_formats
import latent_preview
import torch
from PIL import Image, ImageDraw, ImageFont

from .progress import StageProgress

WINDOWS_SHOWN = 8  # the latest; a long clip has hundreds
COLUMNS = 4
CELL, GAP = 128, 4  # pixels
BACKGROUND, LABEL = (24, 26, 30), (255, 255, 255)


class EmbeddedLatents(comfy.latent_formats.SD15):
    """Latents of the embedded VAE, whose channels mean other colours than those of Stable Diffusion's.

    The factors are the least-squares fit of the 8 x 8 pixel means of the portrait's crops to its latents; they explain
    two thirds of the variance, Stable Diffusion's less than none.
    """

    def __init__(self, scale_factor: float = 0.18215):
        super().__init__(scale_factor)
        self.latent_rgb_factors = [
            [-0.0987, -0.0814, -0.0560],
            [1.0667, 0.6731, 0.3587],
            [0.7991, 0.5256, 0.3178],
            [-1.4226, -1.0217, -0.7284],
        ]
        self.latent_rgb_factors_bias = [0.1039, -0.0746, -0.2396]
        self.taesd_decoder_name = None


@dataclass
class WindowPreviews:
    """The middle face of each window, as far as it is denoised.

    previewer: the host's. progress: of the node, which shows the pictures. starts: first frames of the windows, rising.
    """

    previewer: latent_preview.LatentPreviewer
    progress: StageProgress
    starts: Sequence[int]
    cells: dict[int, Image.Image] = field(default_factory=dict)

    @classmethod
    def of(cls, model, device: torch.device, progress: StageProgress, starts: Sequence[int]) -> "WindowPreviews | None":
        """For what a model gives on a device; None where the host is set to show no previews."""
        previewer = latent_preview.get_previewer(device, model.latent_format)
        return None if previewer is None else cls(previewer, progress, starts)

    def on_clean(self, start: int, latents: torch.Tensor) -> None:
        """What the window from frame `start` on will show by now: (1, 4, f, h, w)."""
        number = self.starts.index(start) + 1
        face = latents[:, :, latents.shape[2] // 2]
        picture = self.previewer.decode_latent_to_preview(face).resize((CELL, CELL), Image.Resampling.BICUBIC)
        ImageDraw.Draw(picture).text(
            (5, 3), str(number), LABEL, ImageFont.load_default(16), stroke_width=2, stroke_fill=0
        )
        self.cells[number] = picture
        sheet = self.sheet()
        self.progress.picture(sheet, max(sheet.size))

    def sheet(self) -> Image.Image:
        """The latest windows, row by row."""
        shown = sorted(self.cells)[-WINDOWS_SHOWN:]
        columns = min(COLUMNS, len(shown))
        rows = -(-len(shown) // COLUMNS)
        sheet = Image.new("RGB", (columns * (CELL + GAP) - GAP, rows * (CELL + GAP) - GAP), BACKGROUND)
        for place, number in enumerate(shown):
            corner = (place % COLUMNS * (CELL + GAP), place // COLUMNS * (CELL + GAP))
            sheet.paste(self.cells[number], corner)
        return sheet
