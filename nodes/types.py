"""What travels between our nodes: custom socket types, and the frozen results they carry."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Any

from comfy_api.latest import io

from ..latentsync_core.options import Seam
from ..latentsync_core.presets import PRESETS

CATEGORY = "LatentSync"
FRAME_CHOICES = ("first frame", "all frames")  # which frames to hand on as IMAGE
IMAGES_FPS = 25.0  # of IMAGE frames, which know no rate

WhisperType = io.Custom("LATENTSYNC_WHISPER")
FeaturesType = io.Custom("LATENTSYNC_FEATURES")
TokensType = io.Custom("LATENTSYNC_TOKENS")
FacesType = io.Custom("LATENTSYNC_FACES")
FaceLatentsType = io.Custom("LATENTSYNC_FACE_LATENTS")
GuidanceType = io.Custom("LATENTSYNC_GUIDANCE")

CUSTOM = "custom"  # the preset that leaves every value to the other inputs


def preset_input() -> io.Combo.Input:
    """The presets of sampling as one widget; the last and optional, so that saved workflows load as they are."""
    costs = "; ".join(f"{name}: {preset.costs}" for name, preset in PRESETS.items())
    return io.Combo.Input(
        "preset",
        options=[CUSTOM, *PRESETS],
        default=CUSTOM,
        optional=True,
        tooltip="custom: steps, guidance and schedule as set here. The others set them at once, with the reuse of "
        f"features. {costs}.",
    )


def found_by(*words: str) -> dict[str, list[str]]:
    """For a schema: further words by which the canvas finds the node, where the host knows them (not ComfyUI 0.8)."""
    known = {field.name for field in fields(io.Schema)}
    return {"search_aliases": list(words)} if "search_aliases" in known else {}


@dataclass(frozen=True)
class VoiceFeatures:
    """A voice as heard by Whisper: features (T, layers, width) at 50 Hz, the AUDIO it came from, and its seconds.

    activity: VoiceActivity, where it speaks. silence: "off", "rest" (the features rest already) or "keep".
    generator: whose features they are, "latentsync" or "musetalk".
    """

    features: Any
    audio: dict
    seconds: Fraction
    activity: Any
    silence: str
    generator: str = "latentsync"


@dataclass(frozen=True)
class MuseTalkBox:
    """Where MuseTalk's faces are cut out: release "1.0" or "1.5"; bbox_shift: pixels, see `Settings`."""

    release: str = "1.5"
    bbox_shift: int = 0


@dataclass(frozen=True)
class TrackedFaces:
    """A face in every frame of a clip.

    open_reader: opens the frames as a media reader. track: FaceTrack. times: seconds of every frame. fps, variable: the
    rate. alignment: "smooth" or "reference". box: of MuseTalk's faces; None for those of LatentSync.
    """

    open_reader: Callable[[], AbstractContextManager]
    track: Any
    times: tuple[Fraction, ...]
    fps: Fraction
    variable: bool
    alignment: str
    box: MuseTalkBox | None = None

    @property
    def generator(self) -> str:
        """Whose faces they are, "latentsync" or "musetalk"."""
        return "latentsync" if self.box is None else "musetalk"

    def crops(self, resolution: int, seam: Seam, blend: str = "mouth", limit: Any = None):
        """The FaceCrops of the clip, `resolution` pixels square. limit: where frames may change, (1 or N, H, W)."""
        from ..latentsync_core.generators.aligned_faces import aligned_faces
        from ..latentsync_core.generators.musetalk.boxed_faces import boxed_faces
        from ..latentsync_core.settings import Settings

        settings = Settings(resolution=resolution, alignment=self.alignment, seam=seam, blend=blend)
        if self.box is None:
            return aligned_faces(self.track, settings, limit)
        return boxed_faces(self.track, replace(settings, bbox_shift=self.box.bbox_shift), self.box.release, limit)

    def matrices(self, resolution: int):
        """Alignment matrices (frames, 2, 3) for crops of `resolution` pixels; NaN where there is no face."""
        return self.track.matrices(resolution, self.alignment)


@dataclass(frozen=True)
class ClipTokens:
    """The output laid out: its timeline, its windows, the synced frames, and what each of them hears.

    tokens: AudioTokens of every output frame. windows: in output frames. audio: the original AUDIO.
    shown: how much of the generated mouth to show while nobody speaks, by output frame; None for all of it.
    voice: VoiceFeatures the tokens were taken from. offset: milliseconds by which the mouth is later than the sound.
    positions: "auto" until position encoding was decided: the model that samples then does as it was trained.
    generator: whose tokens they are, "latentsync" or "musetalk".
    """

    timeline: Any
    windows: tuple
    tokens: Any
    audio: dict
    shown: Any = None
    voice: "VoiceFeatures | None" = None
    offset: float = 0.0
    positions: str = "auto"
    generator: str = "latentsync"

    @property
    def synced(self) -> list[int]:
        """Output frames that lie in some window, in order; the frames of our LATENT batches."""
        from ..latentsync_core.diffusion import disjoint_windows

        return [frame for span in disjoint_windows(self.windows) for frame in range(span.start, span.stop)]

    @property
    def batch_windows(self) -> list[tuple[int, int]]:
        """The windows counted in frames of a LATENT batch."""
        place = {frame: index for index, frame in enumerate(self.synced)}
        return [(place[span.start], place[span.start] + len(span)) for span in self.windows]

    def with_positions(self, positions: bool) -> "ClipTokens":
        """The same clip with audio position encoding switched on or off."""
        return replace(self, tokens=replace(self.tokens, positions=positions), positions="on" if positions else "off")
