"""One segment after the other: encode its faces, denoise them, paste and write them into a part of its own."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import av
import torch
from torch import Tensor

from ..audio import Features, indices_at
from ..diffusion import NonFiniteLatentsError, SamplerSettings, sample_clip
from ..diffusion.conditioning import TrainedConditioning
from ..errors import LatentSyncError
from ..media import VideoReader
from ..media.write.mix import mixed_blocks
from ..media.write.parts import PartedVideo, PartWriter, join_parts
from ..models.loading import Models
from .composite import composite, generated_faces
from .encode import ClipConditioning, FaceLatents
from .latent_cache import FaceStore
from .plan import Plan, Run
from .report import Report
from .resume.run_folder import RunFolder, SegmentRecord
from .segments import Segment

log = logging.getLogger(__name__)

Stage = Callable[[str], AbstractContextManager]
"""``with stage("sample"):`` tells the watchers which stage runs, and times it."""


def generate(
    run: Run, plan: Plan, segments: Sequence[Segment], heard: Features, folder: RunFolder, report: Report, stage: Stage
) -> int:
    """Make every segment that is not finished yet, then join all with the voice; returns how many frames were synced.

    Two readers, each going forwards: one for the faces and, a segment behind, one for the pictures they go into.
    """
    timeline, settings = plan.timeline, run.settings
    times = (timeline.times, timeline.variable, timeline.seconds)
    video = PartedVideo.of(folder.target, run.info, settings.encode, timeline.fps, *times)
    records = []
    with VideoReader(run.video) as crops, VideoReader(run.video) as pictures:
        clip = (timeline.source, plan.matrices, run.resolution, run.models.codec)
        store = FaceStore(crops, segments, *clip, settings.seed, settings.antialias)
        for segment in segments:
            record = folder.finished(segment)
            report.segments["computed" if record is None else "reused"] += 1
            if record is None:
                known = len(report.warnings)
                latents = denoise_segment(run, plan, segment, store, heard, stage)
                with stage("write"), PartWriter(folder.part(segment), video, segment.start) as part:
                    synced = write_segment(run, plan, segment, latents, pictures, part)
                    record = SegmentRecord(synced, *precision_of(run.models), tuple(report.warnings[known:]))
                    folder.note(segment, record)
            resume_after(record, run.models, report)
            records.append(record)
    with stage("write"):
        parts = [(folder.part(segment), segment.start, segment.stop) for segment in segments]
        join_parts(video, parts, sound_of(run, plan), overwrite=settings.overwrite)
    report.memory["latents"] = store.peak
    return sum(record.synced for record in records)


def sound_of(run: Run, plan: Plan) -> Iterator[av.AudioFrame]:
    """The blocks of the result's sound: the voice, or the voice and what the video sounds like already."""
    if run.settings.sound == "voice":
        return run.voice.blocks()
    return mixed_blocks(run.voice.blocks, run.video, plan.timeline.seconds)


def denoise_segment(
    run: Run, plan: Plan, segment: Segment, store: FaceStore, features: Features, stage: Stage
) -> Tensor | None:
    """The generated latents (1, 4, frames, h, w) of a segment; None where it shows no face."""
    if not segment.groups:
        return None
    with stage("encode"):
        faces = store.of(segment, run.on_progress, run.check_cancelled)
    with stage("sample"):
        return sample_segment(run, plan, segment, faces, features, store.noise.start)


def sample_segment(
    run: Run, plan: Plan, segment: Segment, faces: FaceLatents, features: Features, noise: Tensor
) -> Tensor:
    """Denoise a segment; if half precision ends in NaN, once more in float32, and say so.

    The network stays in float32 then, for all segments to come.
    """
    settings, models, timeline = run.settings, run.models, plan.timeline
    trained = TrainedConditioning.of_models(models, settings.position)
    reach = segment.reach
    tokens = trained.audio_tokens(features, indices_at(len(features), timeline.times[reach]))
    conditioning = ClipConditioning(faces, tokens, timeline.source[reach], trained)
    before, total = settings.steps * segment.first_window, settings.steps * segment.all_windows
    sampler = SamplerSettings(settings.steps, settings.guidance, settings.solver, models.device)

    def sample() -> Tensor:
        latents = sample_clip(
            models.unet,
            noise,
            conditioning,
            [group.moved(-reach.start) for group in segment.groups],
            sampler,
            frames=reach.stop - reach.start,
            on_progress=lambda done, _: run.on_progress(before + done, total),
            check_cancelled=run.check_cancelled,
        )
        return latents[:, :, segment.start - reach.start : segment.stop - reach.start]

    where = f"{{}} of the stretch from frame {reach.start} on"
    try:
        return sample()
    except NonFiniteLatentsError as error:
        if models.unet.dtype == torch.float32:
            raise damaged_checkpoint(where.format(error), models) from error
        where = where.format(error)
        log.warning("Denoising gave NaN in %s at %s; from there on it runs in float32.", where, models.unet.dtype)
    models.unet.float()
    try:
        return sample()
    except NonFiniteLatentsError as error:
        raise damaged_checkpoint(where, models) from error


def damaged_checkpoint(where: str, models: Models) -> LatentSyncError:
    """The error for a network that gives NaN whatever its precision."""
    name = models.sources.get("unet", "it")
    return LatentSyncError(
        f"Denoising gave NaN in {where} even in float32; the checkpoint is damaged ({name}): download it again."
    )


def write_segment(
    run: Run, plan: Plan, segment: Segment, latents: Tensor | None, reader: VideoReader, part: PartWriter
) -> int:
    """Decode, paste and encode frame by frame; returns how many frames were synced."""
    settings, synced = run.settings, 0
    faces = iter(()) if latents is None else generated_faces(latents, segment.synced, run.models.codec)
    frames = composite(
        reader.frames_at(plan.timeline.source[segment.frames]),
        faces,
        plan.matrices,
        run.resolution,
        settings.blend,
        settings.antialias,
        plan.strength[segment.frames],
        plan.masks,
    )
    for index, composited in enumerate(frames, start=segment.start):
        run.check_cancelled()
        part.write(composited.picture)
        synced += composited.synced
        run.on_frame(index, composited)
        run.on_progress(index + 1, len(plan.timeline))
    return synced


def precision_of(models: Models) -> tuple[str, str]:
    """The precisions UNet and VAE are in, by name; "" where one has none."""
    vae = getattr(models.codec, "autoencoder", None)
    return tuple(str(getattr(network, "dtype", "")).removeprefix("torch.") for network in (models.unet, vae))


def resume_after(record: SegmentRecord, models: Models, report: Report) -> None:
    """Bring the networks into the precision, and the report to the warnings, that a finished segment left behind."""
    networks = (models.unet, getattr(models.codec, "autoencoder", None))
    for network, left_in in zip(networks, (record.unet, record.vae), strict=True):
        if left_in == "float32" and network.dtype != torch.float32:
            network.float()
    report.warnings += [warning for warning in record.warnings if warning not in report.warnings]
