"""The media that ship with the package are what the demo needs: small, well-formed, one face throughout, a loop."""

import wave

import av
import numpy as np
import pytest

from latentsync_core.demo import CLIP, VOICE
from latentsync_core.faces import FaceState, track_faces

pytestmark = pytest.mark.long

LONGEST_STEP = 3.0  # grey levels, mean over the picture, between neighbouring frames


def test_the_clip_shows_one_face_throughout_and_loops():
    with av.open(str(CLIP)) as container:
        stream = container.streams.video[0]
        assert (stream.average_rate, stream.codec_context.name, stream.codec_context.pix_fmt) == (25, "h264", "yuv420p")
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(frames) == 150
    assert frames[0].shape == (512, 512, 3)
    assert CLIP.stat().st_size <= 400_000

    track = track_faces(frames)
    assert (track.states == FaceState.DETECTED).all()
    assert len(track.cuts) == 0

    steps = [np.abs(a.astype(np.int16) - b).mean() for a, b in zip(frames, frames[1:] + frames[:1], strict=True)]
    assert max(steps) < LONGEST_STEP
    assert steps[-1] <= max(steps[:-1]), "from the last frame to the first is a step as any other"


def test_the_voice_is_a_short_mono_wave_file_shorter_than_the_clip():
    with wave.open(str(VOICE)) as voice:
        assert (voice.getframerate(), voice.getnchannels(), voice.getsampwidth()) == (22050, 1, 2)
        seconds = voice.getnframes() / voice.getframerate()
        samples = np.frombuffer(voice.readframes(voice.getnframes()), np.int16)
    assert 4.0 < seconds < 6.0
    assert np.abs(samples).max() > 8000, "it can be heard"
    assert VOICE.stat().st_size <= 250_000
