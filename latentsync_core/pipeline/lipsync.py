"""Two files in, one file out: the stages composed once, for the command line, the tests and whoever calls."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..diffusion.conditioning import TrainedConditioning
from ..errors import LatentSyncError
from ..faces import fixed_mask, parse_face, read_limit
from ..intervals import stretches_of
from ..media import (
    AudioInfo,
    VideoInfo,
    VideoReader,
    check_target,
    probe_audio,
    probe_video,
)
from ..media.read.stream_starts import sound_start
from ..media.write.encoding import plan_encoding
from ..media.write.voice_track import choose_codec
from ..models.loading import Models
from ..progress import (
    CheckCancelled,
    OnProgress,
    ignore_progress,
    never_cancelled,
)
from .composite import OnFrame, ignore_frame
from .estimate import Forecast, Predictor
from .generate import generate
from .known_face import check_known, face_error
from .plan import (
    Plan,
    Run,
    TrackedSource,
    plan_clip,
    state_runs,
    track_clip,
)
from .report import Report, versions
from .resume.fingerprint import fingerprint
from .resume.run_folder import RunFolder
from .segments import plan_segments
from .settings import Settings
from .voice import Voice, describe_voice, hear_voice

OnStage = Callable[[str], None]
OnForecast = Callable[[Forecast], None]


def lipsync(
    video: Path | str,
    audio: Path | str,
    output: Path | str,
    models: Models,
    settings: Settings | None = None,
    on_progress: OnProgress | None = None,
    check_cancelled: CheckCancelled | None = None,
    *,
    on_stage: OnStage | None = None,
    on_frame: OnFrame | None = None,
    on_forecast: OnForecast | None = None,
) -> Report:
    """Make the face in `video` speak `audio` and write the result to `output`.

    on_stage is called with each stage's name before its on_progress(done, total) calls begin: "voice" (blocks),
    "faces" (source frames), then for one segment of the clip after the other "encode" (faces), "sample" (denoising
    steps) and "write" (output frames); their numbers count over the whole clip.
    on_frame sees every output frame with what it was made of, as it is written, except those of resumed segments.
    on_forecast sees what the run will take: at most, before it starts, and again once the face is tracked; only if it
    is given are the few frames spent on which that is measured.
    check_cancelled is called several times a second; whatever it raises ends the run and leaves no file but, in a
    folder beside the output, the segments that are finished: `Settings.resume` goes on from there.
    Returns the Report. Raises LatentSyncError for what a user can mend.
    """
    settings = settings or Settings()
    report = Report(versions=versions(), models=dict(models.sources))
    with report.collecting_warnings():
        info, voice = probe_video(video), probe_audio(audio, settings.audio_track, video)
        target = check_target(output, settings.overwrite, (video, audio))
        resolution = models.working_resolution(settings.resolution)
        check_settings(settings, models, resolution, info, voice, target)
        report.inputs = {"video": info, "audio": voice, "starts": describe_starts(info, voice)}
        report.settings = {**vars(settings), "resolution": resolution}
        watchers = (on_progress or ignore_progress, check_cancelled or never_cancelled, on_frame or ignore_frame)
        run = Run(Path(video), info, voice, models, settings, resolution, *watchers)

        @contextmanager
        def stage(name: str) -> Iterator[None]:
            (on_stage or ignore_stage)(name)
            with report.stage(name):
                yield

        with RunFolder(target, settings.resume, settings.overwrite) as folder:
            identity = fingerprint(run, target)
            folder.check_same(identity)
            predict = Predictor(run, folder, report, on_forecast)
            with stage("voice"):
                watched = (run.on_progress, run.check_cancelled)
                heard = hear_voice(voice, models.whisper, settings, *watched, folder.keep)
            with stage("faces"):
                tracked = folder.tracked() or track_clip(run, heard)
                run.on_progress(len(tracked.track), len(tracked.track))  # the header's count was an estimate
                plan = plan_clip(run, tracked, heard)
                check_face(run, plan)
            segments = plan_segments(len(plan.timeline), plan.windows)
            report.segments = {"total": len(segments), "computed": 0, "reused": 0}
            predict.rest(plan, segments)
            folder.begin(identity, tracked, len(segments), report)
            synced = generate(run, plan, segments, heard.features, folder, report, stage)
        describe(report, plan, tracked, heard, target, synced)
        report.voice = describe_voice(heard, settings, plan.timeline)
        predict.compare()
    return report


def ignore_stage(name: str) -> None:
    """Watch no stages: the default."""


def check_settings(
    settings: Settings, models: Models, resolution: int, info: VideoInfo, voice: AudioInfo, target: Path
) -> None:
    """Refuse now what would otherwise fail after minutes of work. Raises LatentSyncError."""
    fixed_mask(resolution)
    parse_face(settings.face)
    TrainedConditioning.of_models(models, settings.position)
    if settings.seam.limit_file is not None:
        read_limit(settings.seam.limit_file, info.height, info.width)
    extension = target.suffix.lower()
    plan_encoding(info, settings.encode, extension)
    choose_codec(next(voice.blocks()), settings.encode, extension, str(voice.path))


def describe_starts(info: VideoInfo, voice: AudioInfo) -> dict[str, dict | None]:
    """For the report: when pictures and sound begin in either file, and what silence or cut keeps the sound in place.

    video: None for one without sound; "unreadable" says why, where that cannot be decoded and is not asked for.
    """
    own = None
    if info.has_audio:
        try:
            own = sound_start(info.path, video=info.path).to_dict()
        except LatentSyncError as error:  # only mixing needs this sound, and refuses it
            own = {"unreadable": str(error)}
    return {"video": own, "audio": voice.start.to_dict()}


def check_face(run: Run, plan: Plan) -> None:
    """Refuse a face that the model would spoil: the embedded one, where nobody asked for it, knows its own only."""
    shown = [frame for frame, synced in zip(plan.timeline.source, plan.synced, strict=True) if synced]
    if run.models.fallback and shown:
        with VideoReader(run.video) as reader:
            check_known(face_error(reader, plan.track, shown), run.video, "--checkpoint embedded")


def describe(report: Report, plan: Plan, tracked: TrackedSource, heard: Voice, target: Path, synced: int) -> None:
    """Complete the report with what happened to the frames."""
    track, timeline = plan.track, plan.timeline
    report.source_frames = {
        "read": len(track),
        **track.counts(),
        **tracked.damage,
        "cuts": list(track.cuts),
        "states": state_runs(track.states),
    }
    report.output_frames = {
        "written": len(timeline),
        "synced": synced,
        "untouched": len(timeline) - synced,
        "faded": int(((plan.strength > 0) & (plan.strength < 1)).sum()),
    }
    report.output_times = {
        "synced": stretches_of(plan.synced, timeline.times, timeline.seconds),
        "untouched": stretches_of(~plan.synced, timeline.times, timeline.seconds),
    }
    report.output = {
        "path": target,
        "bytes": target.stat().st_size,
        "fps": timeline.fps,
        "variable_rate": timeline.variable,
        "seconds": float(timeline.seconds),
        "windows": len(plan.windows),
    }
    report.memory["track"] = sum(array.nbytes for array in track.to_arrays().values())
