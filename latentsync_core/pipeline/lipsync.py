"""Two files in, one file out: the stages composed once, for the command line, the tests and whoever calls."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..faces import parse_face, read_limit
from ..generators.generator import Generator, UnknownFaceError
from ..generators.latentsync.generator import as_generator
from ..media import VideoReader, check_target
from ..media.write.encoding import plan_encoding
from ..media.write.voice_track import choose_codec
from ..models.loading import Models
from ..progress import Callbacks
from ..run_log import RunLog
from ..settings import Settings
from .estimate import Estimator
from .generate import Generated, clip_of, generate
from .plan import Inputs, Plan, TrackedSource, plan_clip, seconds_needed, track_clip
from .report import Report, build_report
from .resume.fingerprint import fingerprint
from .resume.run_folder import RunFolder
from .run_cache import cached_track, run_track_key
from .voice import Voice, encode_voice

log = logging.getLogger(__name__)

Generate = Callable[[Plan, Voice, Generator, RunFolder, RunLog, Callbacks], Generated]
"""What makes the segments of a plan and joins them: `generate.generate`, or what has other machines do it."""


@dataclass(frozen=True)
class ClipFiles:
    """A video, a voice, and the file they become."""

    video: Path | str
    audio: Path | str
    output: Path | str


def lipsync(
    video: Path | str,
    audio: Path | str,
    output: Path | str,
    models: Models | Generator,
    settings: Settings | None = None,
    callbacks: Callbacks | None = None,
) -> Report:
    """Make the face in `video` speak `audio` and write the result to `output`.

    models: LatentSync's networks, or any generator.
    callbacks.on_progress tells of the stages "voice" (blocks) and "faces" (source frames), then, for one segment of
    the clip after the other, "encode" (faces), "sample" (of LatentSync, denoising steps) and "write" (output frames),
    whose numbers count over the whole clip. These three overlap: on_progress and check_cancelled are then called by
    several threads, but never by two at once. on_frame sees every output frame except those of resumed segments.
    check_cancelled is called several times a second; whatever it raises ends the run and leaves no file but, in a
    folder beside the output, the segments that are finished: `Settings.resume` goes on from there.
    Returns the Report. Raises LatentSyncError for what a user can mend.
    """
    files = ClipFiles(video, audio, output)
    return sync_clip(files, as_generator(models), settings or Settings(), callbacks or Callbacks(), generate)


def sync_clip(
    files: ClipFiles, generator: Generator, settings: Settings, callbacks: Callbacks, generate: Generate
) -> Report:
    """`lipsync` whose segments are made by `generate`."""
    run_log = RunLog()
    with run_log.collecting_warnings():
        inputs = Inputs.probe(files.video, files.audio, settings.audio_track)
        target = check_target(files.output, settings.overwrite, (files.video, files.audio))
        cache = settings.cache and settings.cache.reopened()
        settings = replace(settings, resolution=generator.working_resolution(settings.resolution), cache=cache)
        check_settings(settings, generator, inputs, target)
        with RunFolder(target, settings.resume, settings.overwrite) as folder:
            identity = fingerprint(inputs, generator, settings, target)
            folder.check_same(identity)
            estimator = Estimator(inputs, generator, settings, folder, callbacks.on_estimate)
            with run_log.stage("voice"):
                voice = encode_inputs(inputs, generator, settings, folder, callbacks)
            with run_log.stage("faces"):
                tracked = folder.tracked() or track_inputs(inputs, generator, settings, voice, callbacks)
                callbacks.on_progress("faces", len(tracked.track), len(tracked.track))
                plan, generator = plan_for_face(inputs, tracked, voice, settings, generator)
            estimator.tell_rest(plan, voice, generator)
            folder.begin(identity, tracked, len(plan.segments), run_log)
            generated = generate(plan, voice, generator, folder, run_log, callbacks)
        return build_report(plan, voice, generator, generated, run_log, estimator.compared(run_log))


def encode_inputs(
    inputs: Inputs, generator: Generator, settings: Settings, folder: RunFolder, callbacks: Callbacks
) -> Voice:
    """The run's voice, with its features kept in the run's folder."""
    callbacks.on_progress("voice", 0, 0)
    return encode_voice(
        inputs.voice,
        generator.audio_encoder,
        settings,
        on_progress=callbacks.progress("voice"),
        check_cancelled=callbacks.check_cancelled,
        keep=folder.keep,
    )


def track_inputs(
    inputs: Inputs, generator: Generator, settings: Settings, voice: Voice, callbacks: Callbacks
) -> TrackedSource:
    """The face in every frame of the run's video, from the cache where another run has left it."""

    def track() -> TrackedSource:
        return track_clip(
            inputs.video,
            voice.seconds,
            settings,
            device=generator.device,
            on_progress=callbacks.progress("faces"),
            check_cancelled=callbacks.check_cancelled,
        )

    if settings.cache is None:
        return track()
    callbacks.on_progress("faces", 0, 0)
    needed = seconds_needed(voice.seconds, settings)
    return cached_track(settings.cache, run_track_key(inputs, generator.device, settings), needed, track)


def plan_for_face(
    inputs: Inputs, tracked: TrackedSource, voice: Voice, settings: Settings, generator: Generator
) -> tuple[Plan, Generator]:
    """The plan, and the generator that can draw the clip's face: the one asked for, or the one it gives way to.

    Raises LatentSyncError for a face that neither can draw.
    """
    plan = plan_clip(inputs, tracked, voice, settings, generator.face_crops)
    try:
        with VideoReader(inputs.video.path) as reader:
            generator.check_face(reader, clip_of(plan, voice))
    except UnknownFaceError as error:
        if generator.instead is None:
            raise
        log.warning("%s Until then the %s moves the mouth of the video itself.", error, generator.instead.name)
        settings = replace(settings, resolution=generator.instead.working_resolution(None))
        generator = generator.instead
        plan = plan_clip(inputs, tracked, voice, settings, generator.face_crops)
    return plan, generator


def check_settings(settings: Settings, generator: Generator, inputs: Inputs, target: Path) -> None:
    """Refuse now what would otherwise fail after minutes of work. Raises LatentSyncError."""
    video, voice = inputs.video, inputs.voice
    generator.check(settings)
    parse_face(settings.face)
    if settings.seam.limit_file is not None:
        read_limit(settings.seam.limit_file, video.height, video.width)
    extension = target.suffix.lower()
    plan_encoding(video, settings.encode, extension)
    choose_codec(next(voice.blocks()), settings.encode, extension, str(voice.path))
