"""The strip shows where a voice is loud, where it speaks, and how far the mouth is asked to open, each in its place."""

import numpy as np

from latentsync_core.visualize.voice_strip import BOTTOM, LEFT, OPENING, RIGHT, SIZE, SPEECH, TOP, WAVE, voice_strip


def test_each_curve_lies_where_its_time_is():
    rate, seconds = 16000, 4.0
    waveform = np.zeros(int(rate * seconds), np.float32)
    waveform[rate * 2 : rate * 3] = np.sin(np.arange(rate) / 5)  # from 2 s to 3 s
    gate = np.array([0, 0, 1, 1], np.float32)
    opening = np.where((np.arange(100) >= 50) & (np.arange(100) < 75), 0.9, 0.05)
    picture = np.asarray(voice_strip(waveform, gate, opening, seconds)).astype(int)
    inner = picture[TOP : SIZE[1] - BOTTOM, LEFT : SIZE[0] - RIGHT]
    quarter = inner.shape[1] // 4
    parts = [inner[:, start : start + quarter] for start in range(0, 4 * quarter, quarter)]

    def share(part, colour):
        return (part == colour).all(-1).mean()

    assert share(parts[2], WAVE) > 0.5 > 0.05 > max(share(parts[i], WAVE) for i in (0, 1, 3))
    assert share(parts[3], SPEECH) > 0.5 and not any(share(parts[i], SPEECH) for i in (0, 1))
    high = [np.flatnonzero((part == OPENING).all(-1).any(1)).mean() for part in (parts[0], parts[2])]
    assert high[1] < high[0] - 50, "a wide opening lies higher"
