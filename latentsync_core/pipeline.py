"""Two files in, one file out: the stages composed once, for the command line, the tests and whoever calls."""

import logging
from collections.abc import Callable
from pathlib import Path

import torch

from .audio import check_offset, check_silence, indices_at
from .choices import MISSING
from .clip_plan import Plan, Run, plan_clip, state_runs
from .compositing import OnFrame, generated_faces, ignore_frame, render_clip
from .diffusion import (
    NonFiniteLatentsError,
    check_window,
    make_schedule,
    sample_clip,
    shared_noise,
)
from .errors import LatentSyncError
from .face_latents import ClipConditioning, FaceLatents, batches_by_window, encode_faces
from .faces import LATENT_STRIDE, fixed_mask, parse_face
from .loading import Models
from .media import (
    AudioInfo,
    VideoInfo,
    VideoReader,
    check_target,
    probe_audio,
)
from .media.encoding import plan_encoding
from .media.voice_track import choose_codec
from .progress import CheckCancelled, OnProgress, ignore_progress, never_cancelled
from .report import Report, versions
from .settings import Settings
from .times import stretches_of
from .voice import Voice, describe_voice, hear_voice

log = logging.getLogger(__name__)

OnStage = Callable[[str], None]
SEEDS = range(2**64)  # as torch and the host take them
DAMAGED_CHECKPOINT = "Denoising gave NaN in {} even in float32; the checkpoint is damaged ({}): download it again."


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
) -> Report:
    """Make the face in `video` speak `audio` and write the result to `output`.

    on_stage is called with each stage's name before its on_progress(done, total) calls begin: "voice" (blocks),
    "faces" (source frames), "encode" (faces), "sample" (denoising steps), "write" (output frames).
    on_frame sees every output frame with what it was made of, as it is written.
    check_cancelled is called several times a second; whatever it raises ends the run and leaves no file.
    Returns the Report. Raises LatentSyncError for what a user can mend.
    """
    settings = settings or Settings()
    report = Report(versions=versions(), models=dict(models.sources))
    with report.collecting_warnings(), VideoReader(video) as reader:
        voice = probe_audio(audio, settings.audio_track)
        target = check_target(output, settings.overwrite, (video, audio))
        resolution = models.working_resolution(settings.resolution)
        check_settings(settings, models, resolution, reader.info, voice, target)
        report.inputs = {"video": reader.info, "audio": voice}
        report.settings = {**vars(settings), "resolution": resolution}
        watchers = (on_progress or ignore_progress, check_cancelled or never_cancelled, on_frame or ignore_frame)
        run = Run(Path(video), voice, models, settings, resolution, *watchers)

        def stage(name: str):
            (on_stage or ignore_stage)(name)
            return report.stage(name)

        with stage("voice"):
            heard = hear_voice(voice, models.whisper, settings, *watchers[:2])
        with stage("faces"):
            plan = plan_clip(run, reader, heard)
        with stage("encode"):
            noise, faces = encode_clip(run, reader, plan)
        with stage("sample"):
            latents = sample_latents(run, plan, faces, heard, noise)
        with stage("write"):
            synced = write_clip(run, reader, plan, latents, target)
        describe(report, plan, reader, target, synced)
        report.voice = describe_voice(heard, settings, plan.timeline)
    return report


def ignore_stage(name: str) -> None:
    """Watch no stages: the default."""


def check_settings(
    settings: Settings, models: Models, resolution: int, info: VideoInfo, voice: AudioInfo, target: Path
) -> None:
    """Refuse now what would otherwise fail after minutes of work. Raises LatentSyncError."""
    fixed_mask(resolution)
    check_window(settings.window)
    make_schedule(settings.solver, settings.steps)
    if settings.seed not in SEEDS:
        raise LatentSyncError(f"The seed is {settings.seed}; it must lie between 0 and {SEEDS[-1]}.")
    settings.guidance.scale_at(0, settings.steps)
    parse_face(settings.face)
    if settings.missing not in MISSING:
        raise LatentSyncError(f"The policy {settings.missing!r} is unknown; choose {', '.join(MISSING)}.")
    models.conditioning(settings.position)
    check_silence(settings.silence, settings.blend)
    check_offset(settings.offset)
    extension = target.suffix.lower()
    plan_encoding(info, settings.encode, extension)
    choose_codec(next(voice.blocks()), settings.encode, extension, str(voice.path))


def encode_clip(run: Run, reader: VideoReader, plan: Plan) -> tuple[torch.Tensor, FaceLatents]:
    """Draw the clip's noise (1, 4, 1, h, w), then crop and encode every face that some window shows.

    One generator serves both, in the reference's order: a seed means the same noise in the same places.
    """
    generator = torch.Generator().manual_seed(run.settings.seed)
    noise = shared_noise(run.resolution // LATENT_STRIDE, generator)
    batches = batches_by_window(plan.windows, plan.timeline.source)
    shown = reader.frames_at(index for batch in batches for index in batch)
    faces = encode_faces(
        shown,
        batches,
        plan.matrices,
        run.resolution,
        run.models.codec,
        generator,
        antialias=run.settings.antialias,
        on_progress=run.on_progress,
        check_cancelled=run.check_cancelled,
    )
    return noise, faces


def sample_latents(run: Run, plan: Plan, faces: FaceLatents, heard: Voice, noise: torch.Tensor) -> torch.Tensor:
    """Denoise the clip; if half precision ends in NaN, once more in float32, and say so."""
    settings, models = run.settings, run.models
    trained = models.conditioning(settings.position)
    tokens = trained.audio_tokens(heard.features, indices_at(len(heard.features), plan.timeline.times))
    conditioning = ClipConditioning(faces, tokens, plan.timeline.source, trained)

    def sample() -> torch.Tensor:
        return sample_clip(
            models.unet,
            noise,
            conditioning,
            len(plan.timeline),
            plan.windows,
            settings.steps,
            settings.guidance,
            solver=settings.solver,
            device=models.device,
            on_progress=run.on_progress,
            check_cancelled=run.check_cancelled,
        )

    try:
        return sample()
    except NonFiniteLatentsError as error:
        if models.unet.dtype == torch.float32:
            raise LatentSyncError(DAMAGED_CHECKPOINT.format(error, models.sources.get("unet", "it"))) from error
        log.warning("Denoising gave NaN in %s at %s; repeated the stage in float32.", error, models.unet.dtype)
    models.unet.float()
    try:
        return sample()
    except NonFiniteLatentsError as error:
        raise LatentSyncError(DAMAGED_CHECKPOINT.format(error, models.sources.get("unet", "it"))) from error


def write_clip(run: Run, reader: VideoReader, plan: Plan, latents: torch.Tensor, target: Path) -> int:
    """Decode, paste and encode frame by frame; returns how many frames were synced."""
    settings = run.settings
    return render_clip(
        target,
        reader,
        plan.timeline,
        generated_faces(latents, plan.windows, run.models.codec),
        plan.matrices,
        run.resolution,
        run.voice.blocks(),
        blend=settings.blend,
        antialias=settings.antialias,
        strength=plan.strength,
        encode=settings.encode,
        overwrite=settings.overwrite,
        on_frame=run.on_frame,
        on_progress=run.on_progress,
        check_cancelled=run.check_cancelled,
    )


def describe(report: Report, plan: Plan, reader: VideoReader, target: Path, synced: int) -> None:
    """Complete the report with what happened to the frames."""
    track, timeline = plan.track, plan.timeline
    report.source_frames = {
        "read": len(track),
        **track.counts(),
        "damaged": reader.damaged,
        "damage": reader.damage,
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
