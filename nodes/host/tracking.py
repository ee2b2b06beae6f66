"""A clip's faces, tracked on the host's devices; those of a file are kept on disk for every session to come."""

from ...latentsync_core.faces import FaceSelection, track_numbered, without_gaps
from ...latentsync_core.faces.tracking.people import People
from ...latentsync_core.faces.tracking.search import TrackingSettings
from ...latentsync_core.media import ImageReader, VideoPart, VideoReader
from ...latentsync_core.pipeline.people_cache import cached_people
from ...latentsync_core.pipeline.plan import TrackedSource
from ...latentsync_core.pipeline.run_cache import track_key
from .folders import disk_cache
from .memory import face_networks, loaded
from .progress import node_callbacks


def track_clip(
    reader: VideoReader | ImageReader, selection: FaceSelection, settings: TrackingSettings, missing: str
) -> tuple[TrackedSource, People]:
    """The face in every frame, and everybody for the preview; missing: policy for frames without the face."""
    callbacks = node_callbacks()

    def track() -> tuple[TrackedSource, People]:
        found, people = track_numbered(
            reader.frames(),
            selection,
            nets=loaded(face_networks()),
            settings=settings,
            total=reader.info.frames,
            on_progress=callbacks.progress("faces"),
            check_cancelled=callbacks.check_cancelled,
        )
        times = tuple(reader.times)
        found = without_gaps(found, missing, times, times[-1] + 1 / reader.info.fps)
        damage = {"damaged": reader.damaged, "damage": getattr(reader, "damage", None)}
        return TrackedSource(found, times, True, damage), people

    if isinstance(reader, ImageReader):
        return track()
    cache = disk_cache()
    part = {"part": reader.shown} if isinstance(reader, VideoPart) else {}
    key = track_key(reader.info.path, cache, selection, settings, missing=missing, device="cpu", **part)
    return cached_people(cache, key, track)
