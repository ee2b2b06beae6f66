"""The demo's own clip and voice, shipped with the package (see NOTICE; rendered by tools/render_demo_clip.py)."""

from pathlib import Path

CLIP = Path(__file__).with_name("clip.mp4")
"""A portrait moving its head: 512 x 512, 25 fps, 6 s, H.264, no sound."""

VOICE = Path(__file__).with_name("voice.wav")
"""One spoken sentence: 22.05 kHz mono, about 5 s."""

MOUTH = Path(__file__).with_name("mouth.json")
"""The true opening of a mouth that says this sentence: "opening", 0 to 1, for every frame at "fps"."""
