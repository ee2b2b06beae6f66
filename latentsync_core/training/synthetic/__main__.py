"""``python -m latentsync_core.training.synthetic FOLDER --clips 64``: render clips for training, with ground truth."""

import argparse
import logging
import sys
from pathlib import Path

from ...errors import LatentSyncError
from .clips import ClipRecipe, synthetic_clips, write_clip

log = logging.getLogger("latentsync_core.training.synthetic")


def render_folder(folder: Path, recipe: ClipRecipe, count: int, first: int = 0) -> None:
    """Write clips number `first` to `first + count` of a recipe as NNNN.mp4, .wav and .npz; existing ones are kept.

    Held-out clips are named unheard-NNNN, so that they are the last by name, which `data.held_out` takes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(first, first + count):
        video = folder / f"{'unheard-' if recipe.held_out else ''}{index:04d}.mp4"
        if video.exists():
            log.info("%s is there already", video)
            continue
        clip = next(synthetic_clips(recipe, 1, index))
        write_clip(clip, video)
        log.info("%s: %d frames, voice %s", video, len(clip.frames), clip.voice)


def main() -> int:
    """The command: 0, or 2 and one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m latentsync_core.training.synthetic", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--first", type=int, default=0, help="number of the first clip")
    parser.add_argument("--seconds", type=float, default=ClipRecipe.seconds)
    parser.add_argument("--size", type=int, default=ClipRecipe.size, help="pixels, both sides")
    parser.add_argument("--seed", type=int, default=ClipRecipe.seed)
    parser.add_argument("--voices", type=Path, help="folder of waves with timed phones (.lab), in place of espeak-ng")
    parser.add_argument("--through-channel", action="store_true", help="through random microphones, rooms and noise")
    parser.add_argument("--held-out", action="store_true", help="voices and words that training never uses")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        recipe = ClipRecipe(
            seed=chosen.seed,
            seconds=chosen.seconds,
            size=chosen.size,
            held_out=chosen.held_out,
            voices=chosen.voices,
            through_channel=chosen.through_channel,
        )
        render_folder(chosen.folder, recipe, chosen.clips, chosen.first)
    except LatentSyncError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
