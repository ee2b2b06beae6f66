"""Render the demo's media: a portrait with head motion, a voice that says one sentence, and its true mouth motion.

A development tool: ``python tools/render_demo_clip.py`` needs scikit-image (for the portrait), the program
``espeak-ng`` (for the voice) and its library (for the phonemes), and rewrites clip.mp4, voice.wav and mouth.json in
latentsync_core/demo. The demo only reads those.
The motion is a sum of sines with whole numbers of cycles, so the clip loops without a discontinuity and needs no seed.
"""

import json
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from scipy.ndimage import map_coordinates

DEMO = Path(__file__).parents[1] / "latentsync_core" / "demo"

FPS = 25
FRAMES = 150  # 6 s
SIZE = 512  # pixels, both sides of the clip
CRF = 18  # x264 quality: about 37 KB a second here

# In pixels of the 512 x 512 portrait.
VIEW_CENTRE = (228.0, 134.0)  # (x, y) in the middle of the picture
VIEW_WIDTH = 250.0
HEAD_CENTRE = (228.0, 104.0)
HEAD_RADII = (74.0, 92.0)  # hair included
NECK = (229.0, 180.0)  # the head rolls about this point

SENTENCE = "Hello there! My voice comes from a computer, and now my lips can follow every word."
SPEAKER, SPEED, PITCH = "en-us+f3", 170, 55  # a voice that the embedded model was not trained on
VOICE = ("espeak-ng", "-v", SPEAKER, "-s", str(SPEED), "-p", str(PITCH))


def periodic_motion(phase: float, cycles: tuple[int, ...], amplitudes: tuple[float, ...]) -> np.ndarray:
    """One value per frame, (FRAMES,): sines of whole cycles per clip; `phase` in turns keeps two motions apart."""
    turns = np.arange(FRAMES) / FRAMES
    waves = zip(cycles, amplitudes, strict=True)
    return sum(a * np.sin(2 * np.pi * (c * turns + phase * k)) for k, (c, a) in enumerate(waves, start=1))


def motion() -> dict[str, np.ndarray]:
    """Slow camera and faster head motion, one value per frame each: pixels of the portrait, degrees, or a ratio."""
    return {
        "pan_x": periodic_motion(0.10, (1, 2), (3.0, 1.2)),
        "pan_y": periodic_motion(0.35, (1, 2), (1.8, 0.8)),
        "zoom": 1.0 + periodic_motion(0.60, (1,), (0.025,)),
        "camera_roll": periodic_motion(0.20, (1,), (0.5,)),
        "head_roll": periodic_motion(0.45, (1, 3), (2.2, 0.7)),
        "yaw": periodic_motion(0.15, (2, 3), (4.0, 1.4)),
        "pitch": periodic_motion(0.80, (3, 4), (2.2, 0.9)),
    }


def rotate(x: np.ndarray, y: np.ndarray, degrees: float, centre: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Points turned by `degrees` about `centre`."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    dx, dy = x - centre[0], y - centre[1]
    return centre[0] + c * dx - s * dy, centre[1] + s * dx + c * dy


def smoothstep(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, without a kink between."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def source_positions(frame: int, moves: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """For every output pixel the (x, y) in the portrait it shows, each (SIZE, SIZE).

    The camera is a similarity. The head is a dome in front of a flat wall: its middle moves most with yaw and pitch
    (parallax), which fade to zero around it, so the background needs no inpainting.
    """
    step = VIEW_WIDTH / SIZE / moves["zoom"][frame]
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] - (SIZE - 1) / 2
    x = VIEW_CENTRE[0] + moves["pan_x"][frame] + columns * step
    y = VIEW_CENTRE[1] + moves["pan_y"][frame] + rows * step
    x, y = rotate(x, y, moves["camera_roll"][frame], VIEW_CENTRE)

    radius = np.hypot((x - HEAD_CENTRE[0]) / HEAD_RADII[0], (y - HEAD_CENTRE[1]) / HEAD_RADII[1])
    attached = smoothstep((1.75 - radius) / 0.95)  # 1 over the whole head, 0 on the wall and the shoulders
    depth = smoothstep((1.15 - radius) / 1.15)
    turned_x, turned_y = rotate(x, y, -moves["head_roll"][frame], NECK)
    x = x + attached * (turned_x - x) - depth * moves["yaw"][frame]
    y = y + attached * (turned_y - y) - depth * moves["pitch"][frame]
    return x, y


def render_frames(portrait: np.ndarray):
    """Yield FRAMES pictures (SIZE, SIZE, 3) uint8 of `portrait` (512, 512, 3) uint8."""
    moves = motion()
    for frame in range(FRAMES):
        x, y = source_positions(frame, moves)
        channels = [map_coordinates(portrait[..., c], [y, x], np.float32, order=3, mode="reflect") for c in range(3)]
        yield np.clip(np.stack(channels, axis=-1) + 0.5, 0, 255).astype(np.uint8)


def write_clip(frames, path: Path) -> None:
    """Encode `frames` as H.264, yuv420p, FPS frames a second; one thread, so that the bytes are reproducible."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": str(CRF), "preset": "veryslow"})
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, FPS)
        stream.codec_context.thread_count = 1
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def write_voice(path: Path) -> None:
    """Speak SENTENCE into a 16-bit mono WAV at espeak-ng's own 22.05 kHz."""
    if shutil.which(VOICE[0]) is None:
        sys.exit("render_demo_clip: the program espeak-ng is not installed; install it to render the voice")
    subprocess.run([*VOICE, "-w", str(path), SENTENCE], check=True)


def write_mouth(path: Path) -> None:
    """Write the true opening of a mouth that says SENTENCE, 0 to 1 for every frame, from the phonemes' times."""
    from latentsync_core.audio.espeak import speak
    from latentsync_core.training.synthetic.visemes import mouth_motion

    speech = speak(SENTENCE, SPEAKER, SPEED, PITCH)
    opening = mouth_motion(speech, int(speech.duration * FPS), FPS).opening
    text = json.dumps({"fps": FPS, "opening": [round(float(value), 3) for value in opening]})
    path.write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Render the files and say how large they are."""
    from skimage.data import astronaut

    DEMO.mkdir(parents=True, exist_ok=True)
    write_clip(render_frames(astronaut()), DEMO / "clip.mp4")
    write_voice(DEMO / "voice.wav")
    write_mouth(DEMO / "mouth.json")
    for path in (DEMO / "clip.mp4", DEMO / "voice.wav", DEMO / "mouth.json"):
        print(f"{path.name}: {path.stat().st_size / 1e3:.0f} KB")


if __name__ == "__main__":
    main()
