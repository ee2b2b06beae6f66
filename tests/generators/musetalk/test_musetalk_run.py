"""MuseTalk through the pipeline: its mouth and nothing else, its times at any rate, its options, its resumed bytes."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from tiny_musetalk import SIDE

from latentsync_core.audio import encode_positions, extract_features, gather_tokens, musetalk_indices
from latentsync_core.demo import CLIP
from latentsync_core.diffusion import plan_windows, redraw_latents
from latentsync_core.disk_cache import DiskCache
from latentsync_core.errors import LatentSyncError
from latentsync_core.faces import Seam, mask_lower_half, track_faces
from latentsync_core.generators.face_latents import face_moments, pixels_of
from latentsync_core.generators.musetalk.boxed_faces import boxed_faces
from latentsync_core.generators.musetalk.generator import MuseTalk
from latentsync_core.media import EncodeSettings, VideoReader, read_waveform
from latentsync_core.models.unet.attention import Attention
from latentsync_core.models.unet.joined_weights import joined_weights
from latentsync_core.pipeline.lipsync import lipsync
from latentsync_core.pipeline.resume.run_folder import folder_beside
from latentsync_core.progress import Callbacks
from latentsync_core.settings import Settings

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    """Without loss; the voice is heard once, and each clip's face found once, for all runs."""
    cache = DiskCache(tmp_path_factory.mktemp("cache"))
    return Settings(encode=EncodeSettings(codec="ffv1", audio_codec="pcm"), cache=cache)


def synced(models, clip, voice, out, settings) -> dict:
    """What was pasted, by output frame, and the report."""
    frames = {}
    report = lipsync(clip, voice, out, models, settings, Callbacks(on_frame=frames.__setitem__))
    return {"frames": frames, "report": report}


def test_the_mouth_changes_and_nothing_outside_its_mask(musetalk, voice, settings, tmp_path):
    result = synced(musetalk, CLIP, voice, tmp_path / "out.mkv", settings)
    report = result["report"].to_dict()
    assert report["output_frames"] == {"written": 12, "synced": 12, "untouched": 0, "faded": 0}
    with VideoReader(CLIP) as before, VideoReader(tmp_path / "out.mkv") as after:
        for index, (source, made) in enumerate(zip(before.frames(0, 12), after.frames(), strict=True)):
            region = result["frames"][index].region
            inside = np.zeros(source.shape[:2], bool)
            inside[region.slices] = region.alpha > 0
            changed = source.picture.to_ndarray(format="gray") != made.picture.to_ndarray(format="gray")
            assert changed[inside].mean() > 0.5 and not changed[~inside].any()


def test_the_same_seed_gives_the_same_file_however_it_is_batched(musetalk, voice, settings, tmp_path):
    for name, batch in (("a", 1), ("b", 4)):
        synced(musetalk, CLIP, voice, tmp_path / f"{name}.mkv", replace(settings, batch=batch))
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()


class StopError(Exception):
    """What a test's callback raises."""


def test_a_resumed_run_ends_in_the_same_bytes(musetalk, voice, settings, tmp_path, monkeypatch):
    monkeypatch.setattr("latentsync_core.generators.segments.SEGMENT_FRAMES", 4)
    monkeypatch.setattr(
        "latentsync_core.pipeline.plan.plan_windows",
        lambda present, breaks, *_: plan_windows(present, breaks, window=4),
    )
    straight, out = tmp_path / "straight.mkv", tmp_path / "out.mkv"
    synced(musetalk, CLIP, voice, straight, settings)

    def stop() -> None:
        if list(folder_beside(out).glob("segment-*.nut")):
            raise StopError

    with pytest.raises(StopError):
        lipsync(CLIP, voice, out, musetalk, settings, Callbacks(check_cancelled=stop))
    report = lipsync(CLIP, voice, out, musetalk, replace(settings, resume=True))
    assert report.segments == {"total": 3, "computed": 2, "reused": 1}
    assert out.read_bytes() == straight.read_bytes()


def faces_of(result) -> torch.Tensor:
    return torch.stack([frame.generated for _, frame in sorted(result["frames"].items()) if frame.synced])


def test_positions_are_off_unless_asked_for(musetalk, voice, settings, tmp_path):
    made = {
        mode: faces_of(synced(musetalk, CLIP, voice, tmp_path / f"{mode}.mkv", replace(settings, position=mode)))
        for mode in ("auto", "on")
    }
    assert not musetalk.adds_positions("auto") and not musetalk.adds_positions("off")
    assert (made["auto"] - made["on"]).abs().mean() > 0.01


def expected_faces(musetalk: MuseTalk, crops, voice, fps, first) -> torch.Tensor:
    """Each face redrawn by hand for its own time, output frames `first` on; posteriors' means in place of draws."""
    models = musetalk.models
    moments = face_moments(crops, models.codec, hide_mouth=mask_lower_half)
    features = extract_features(read_waveform(voice, 16_000), models.whisper)
    steps = musetalk_indices(len(features), fps, first + len(crops))[first:]
    tokens = encode_positions(gather_tokens(features, steps), "off")
    latents = torch.cat([moments.masked.mean, moments.whole.mean], dim=1)
    return models.codec.decode(redraw_latents(models.unet, latents, tokens))


def test_frames_without_a_face_shift_nothing(musetalk, voice, settings, write_clip, tmp_path):
    """Its own scripts give every frame after the first faceless one the face of an earlier frame."""
    without_face = 3
    result = synced(musetalk, write_clip(without_face=without_face), voice, tmp_path / "out.mkv", settings)
    frames = result["frames"]
    assert [frames[index].synced for index in range(12)] == [False] * without_face + [True] * (12 - without_face)
    shown = [frames[index] for index in range(without_face, 12)]
    expected = expected_faces(musetalk, [frame.crop for frame in shown], voice, 25, without_face)
    apart = torch.cdist(torch.stack([f.generated for f in shown]).flatten(1), expected.flatten(1))
    assert apart.argmin(1).tolist() == list(range(len(shown)))


class Recorded(MuseTalk):
    """MuseTalk, noting which steps of the voice it attends to."""

    steps: torch.Tensor

    def begin(self, clip, reader):
        generation = super().begin(clip, reader)
        encode = generation.encode

        def noting(segment, callbacks):
            encoded = encode(segment, callbacks)
            self.steps = encoded.tokens.indices
            return encoded

        generation.encode = noting
        return generation


@pytest.mark.parametrize("fps", [Fraction(24000, 1001), Fraction(50)])
def test_every_frame_hears_its_own_time(musetalk, voice, settings, write_clip, tmp_path, fps):
    """Its own scripts drift by 4 % at 23.976 frames per second and stop at 50."""
    recorded = Recorded(musetalk.models, musetalk.release)
    report = synced(recorded, write_clip(fps), voice, tmp_path / "out.mkv", settings)["report"]
    frames = report.output_frames["synced"]
    assert abs(frames - Fraction(12, 25) * fps) < 1
    centres = [int(index / fps * 50) for index in range(frames)]
    assert recorded.steps[:, 4].tolist() == centres  # steps 2i-4 to 2i+5 at 25 frames per second


def test_a_shift_moves_the_crop(musetalk, portrait, settings):
    frame = portrait[1][0]
    track = track_faces([frame.rgb()])
    crops = [
        boxed_faces(track, replace(settings, resolution=SIDE, bbox_shift=shift), musetalk.release).crop(frame)
        for shift in (0, 9)
    ]
    assert np.abs(crops[0].astype(int) - crops[1]).mean() > 3


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"steps": 30}, "steps"),
        ({"window": 8, "overlap": 2}, "overlap, window"),
        ({"solver": "euler", "reuse": 2}, "null interval, reuse, solver"),
        ({"seam": Seam(feather=4.0)}, "feather"),
        ({"bbox_shift": 31}, "bbox shift"),
    ],
)
def test_what_it_has_not_is_refused(musetalk, voice, settings, tmp_path, values, named):
    with pytest.raises(LatentSyncError, match=named):
        lipsync(CLIP, voice, tmp_path / "out.mkv", musetalk, replace(settings, **values))
    assert not list(tmp_path.iterdir())


def test_colours_that_drift_are_taken_back(musetalk, portrait, settings):
    """The same drift above and below: where the network was shown the face tells how much its mouth is off."""
    _, frames = portrait
    track = track_faces([frame.rgb() for frame in frames[:2]])
    for match, left in (("ring", 0.0), ("off", 20.0)):
        asked = replace(settings, resolution=SIDE, seam=Seam(color_match=match))
        faces = boxed_faces(track, asked, musetalk.release)
        drifted = pixels_of([faces.crop(frames[0])])[0] + 20 / 127.5
        pasted = faces.paste(frames[0], drifted)
        before = frames[0].rgb()[pasted.region.slices].astype(float)
        off = (pasted.region.pixels - before)[pasted.region.alpha > 0.99]
        assert off.mean() == pytest.approx(left, abs=3.0)  # levels of 255


def test_its_network_runs_with_joined_weights_as_latentsyncs_does(musetalk):
    attentions = [module for module in musetalk.models.unet.modules() if isinstance(module, Attention)]
    with torch.inference_mode():
        joined = [one for one in attentions if joined_weights((one.to_q, one.to_k, one.to_v)) is not None]
    assert len(joined) == len(attentions) / 2 > 0  # those to the voice have keys of another width
