"""Two files in, one file out: the stages composed once, for the command line, the tests and whoever calls."""

from dataclasses import replace
from pathlib import Path

from ..diffusion.conditioning import TrainedConditioning
from ..faces import fixed_mask, parse_face, read_limit
from ..faces.tracking.search import TrackingSettings
from ..media import VideoReader, check_target
from ..media.write.encoding import plan_encoding
from ..media.write.voice_track import choose_codec
from ..models.loading import Models
from ..progress import Callbacks
from .estimate import Estimator
from .generate import generate
from .known_face import check_known, face_error
from .plan import Inputs, Plan, TrackedSource, plan_clip, seconds_needed, track_clip
from .report import Report, build_report
from .resume.fingerprint import fingerprint
from .resume.run_folder import RunFolder
from .run_cache import cached_track, track_key
from .run_log import RunLog
from .settings import Settings
from .voice import Voice, encode_voice


def lipsync(
    video: Path | str,
    audio: Path | str,
    output: Path | str,
    models: Models,
    settings: Settings | None = None,
    callbacks: Callbacks | None = None,
) -> Report:
    """Make the face in `video` speak `audio` and write the result to `output`.

    callbacks.on_progress tells of the stages "voice" (blocks) and "faces" (source frames), then, for one segment of
    the clip after the other, "encode" (faces), "sample" (denoising steps) and "write" (output frames), whose numbers
    count over the whole clip. These three overlap: on_progress and check_cancelled are then called by several threads,
    but never by two at once. on_frame sees every output frame except those of resumed segments.
    check_cancelled is called several times a second; whatever it raises ends the run and leaves no file but, in a
    folder beside the output, the segments that are finished: `Settings.resume` goes on from there.
    Returns the Report. Raises LatentSyncError for what a user can mend.
    """
    settings, callbacks, log = settings or Settings(), callbacks or Callbacks(), RunLog()
    with log.collecting_warnings():
        inputs = Inputs.probe(video, audio, settings.audio_track)
        target = check_target(output, settings.overwrite, (video, audio))
        cache = settings.cache and settings.cache.reopened()
        settings = replace(settings, resolution=models.working_resolution(settings.resolution), cache=cache)
        check_settings(settings, models, inputs, target)
        with RunFolder(target, settings.resume, settings.overwrite) as folder:
            identity = fingerprint(inputs, models, settings, target)
            folder.check_same(identity)
            estimator = Estimator(inputs, models, settings, folder, callbacks.on_estimate)
            with log.stage("voice"):
                voice = encode_inputs(inputs, models, settings, folder, callbacks)
            with log.stage("faces"):
                tracked = folder.tracked() or track_inputs(inputs, models, settings, voice, callbacks)
                callbacks.on_progress("faces", len(tracked.track), len(tracked.track))
                plan = plan_clip(inputs, tracked, voice, settings)
                check_face(plan, models)
            estimator.tell_rest(plan)
            folder.begin(identity, tracked, len(plan.segments), log)
            generated = generate(plan, voice, models, folder, log, callbacks)
        return build_report(plan, voice, models, generated, log, estimator.compared(log))


def encode_inputs(inputs: Inputs, models: Models, settings: Settings, folder: RunFolder, callbacks: Callbacks) -> Voice:
    """The run's voice, with its features kept in the run's folder."""
    callbacks.on_progress("voice", 0, 0)
    return encode_voice(
        inputs.voice,
        models.whisper,
        settings,
        on_progress=callbacks.progress("voice"),
        check_cancelled=callbacks.check_cancelled,
        keep=folder.keep,
    )


def track_inputs(
    inputs: Inputs, models: Models, settings: Settings, voice: Voice, callbacks: Callbacks
) -> TrackedSource:
    """The face in every frame of the run's video, from the cache where another run has left it."""

    def track() -> TrackedSource:
        return track_clip(
            inputs.video,
            voice.seconds,
            settings,
            device=models.device,
            on_progress=callbacks.progress("faces"),
            check_cancelled=callbacks.check_cancelled,
        )

    if settings.cache is None:
        return track()
    callbacks.on_progress("faces", 0, 0)
    needed = seconds_needed(voice.seconds, settings)
    selection, device = parse_face(settings.face), models.device.type
    key = track_key(
        inputs.video.path, settings.cache, selection, TrackingSettings(), missing=settings.missing, device=device
    )
    return cached_track(settings.cache, key, needed, track)


def check_face(plan: Plan, models: Models) -> None:
    """Refuse a face that the model would spoil: the embedded one, where nobody asked for it, knows its own only."""
    shown = [frame for frame, synced in zip(plan.timeline.source, plan.synced, strict=True) if synced]
    if models.fallback and shown:
        video = plan.inputs.video.path
        with VideoReader(video) as reader:
            check_known(face_error(reader, plan.track, shown), video, "--checkpoint embedded")


def check_settings(settings: Settings, models: Models, inputs: Inputs, target: Path) -> None:
    """Refuse now what would otherwise fail after minutes of work. Raises LatentSyncError."""
    video, voice = inputs.video, inputs.voice
    fixed_mask(settings.resolution)
    parse_face(settings.face)
    TrainedConditioning.of_models(models, settings.position)
    if settings.seam.limit_file is not None:
        read_limit(settings.seam.limit_file, video.height, video.width)
    extension = target.suffix.lower()
    plan_encoding(video, settings.encode, extension)
    choose_codec(next(voice.blocks()), settings.encode, extension, str(voice.path))
