"""One segment after the other: encode its faces, denoise them, paste and write them into a part of its own."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

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
from ..progress import Callbacks
from .composite import composite, generated_faces
from .encode import ClipConditioning, FaceLatents
from .latent_cache import LatentCache
from .plan import Plan
from .resume.run_folder import RunFolder, SegmentRecord
from .run_log import RunLog
from .segments import Segment
from .voice import Voice

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Generated:
    """The file that was made, how many of its frames were synced, how many segments an earlier run had finished, and
    the most bytes of latents held at once."""

    target: Path
    synced: int
    reused: int
    latent_bytes: int


def generate(
    plan: Plan, voice: Voice, models: Models, folder: RunFolder, run_log: RunLog, callbacks: Callbacks
) -> Generated:
    """Make every segment that is not finished yet, then join all with the voice.

    Two readers, each going forwards: one for the faces and, a segment behind, one for the pictures they go into.
    """
    path, codec, settings = plan.inputs.video.path, models.codec, plan.settings
    video, records, reused = parted_video(plan, folder.target), [], 0
    with VideoReader(path) as crops, VideoReader(path) as pictures:
        cache = LatentCache(crops, plan.segments, plan.timeline.source, plan.alignment, codec, settings.seed)
        for segment in plan.segments:
            record = folder.finished(segment)
            reused += record is not None
            if record is None:
                known, faces = len(run_log.warnings), iter(())
                if segment.groups:
                    with run_log.stage("encode"):
                        encoded = cache.of(segment, callbacks.progress("encode"), callbacks.check_cancelled)
                    with run_log.stage("sample"):
                        conditioning = condition_segment(segment, plan, encoded, voice.features, models)
                        latents = sample_segment(segment, plan, conditioning, cache.noise.start, models, callbacks)
                    faces = generated_faces(latents, segment.synced, codec)
                    del encoded, conditioning, latents  # so that they go before the next segment's come
                with run_log.stage("write"), PartWriter(folder.part(segment), video, segment.start) as part:
                    synced = write_segment(segment, plan, faces, pictures, part, callbacks)
                    record = SegmentRecord(synced, *precision_of(models), tuple(run_log.warnings[known:]))
                    folder.note(segment, record)
            resume_after(record, models, run_log)
            records.append(record)
    callbacks.on_progress("write", len(plan.timeline), len(plan.timeline))
    with run_log.stage("write"):
        parts = [(folder.part(segment), segment.start, segment.stop) for segment in plan.segments]
        join_parts(video, parts, sound_of(plan), overwrite=settings.overwrite)
    return Generated(folder.target, sum(record.synced for record in records), reused, cache.peak)


def parted_video(plan: Plan, target: Path) -> PartedVideo:
    """The video that all segments become parts of."""
    timeline = plan.timeline
    return PartedVideo.of(
        target,
        plan.inputs.video,
        plan.settings.encode,
        fps=timeline.fps,
        times=timeline.times,
        variable=timeline.variable,
        seconds=timeline.seconds,
    )


def sound_of(plan: Plan) -> Iterator[av.AudioFrame]:
    """The blocks of the result's sound: the voice, or the voice and what the video sounds like already."""
    inputs = plan.inputs
    if plan.settings.sound == "voice":
        return inputs.voice.blocks()
    return mixed_blocks(inputs.voice.blocks, inputs.video.path, plan.timeline.seconds)


def condition_segment(
    segment: Segment, plan: Plan, faces: FaceLatents, features: Features, models: Models
) -> ClipConditioning:
    """What the windows of a segment are denoised from."""
    trained, reach = TrainedConditioning.of_models(models, plan.settings.position), segment.reach
    tokens = trained.audio_tokens(features, indices_at(len(features), plan.timeline.times[reach]))
    return ClipConditioning(faces, tokens, plan.timeline.source[reach], trained)


def sample_segment(
    segment: Segment, plan: Plan, conditioning: ClipConditioning, noise: Tensor, models: Models, callbacks: Callbacks
) -> Tensor:
    """Denoise a segment to latents (1, 4, frames, h, w); if half precision ends in NaN, once more in float32.

    The network stays in float32 then, for all segments to come, and a warning says so.
    """
    settings, reach, progress = plan.settings, segment.reach, callbacks.progress("sample")
    before, total = settings.steps * segment.first_window, settings.steps * segment.all_windows
    sampler = SamplerSettings(
        steps=settings.steps,
        guidance=settings.guidance,
        solver=settings.solver,
        device=models.device,
        reuse=settings.reuse,
        reuse_null=settings.reuse_null,
    )
    progress(before, total)

    def sample() -> Tensor:
        latents = sample_clip(
            models.unet,
            noise,
            conditioning,
            [group.moved(-reach.start) for group in segment.groups],
            sampler,
            frames=reach.stop - reach.start,
            on_progress=lambda done, _: progress(before + done, total),
            check_cancelled=callbacks.check_cancelled,
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
    segment: Segment,
    plan: Plan,
    faces: Iterator[tuple[int, Tensor]],
    reader: VideoReader,
    part: PartWriter,
    callbacks: Callbacks,
) -> int:
    """Decode, paste and encode frame by frame; returns how many frames were synced."""
    synced, total, progress = 0, len(plan.timeline), callbacks.progress("write")
    progress(segment.start, total)
    shown = reader.frames_at(plan.timeline.source[segment.frames])
    frames = composite(shown, faces, plan.alignment, plan.blend.part(segment.frames))
    for index, composited in enumerate(frames, start=segment.start):
        callbacks.check_cancelled()
        part.write(composited.picture)
        synced += composited.synced
        callbacks.on_frame(index, replace(composited, seconds=float(plan.timeline.times[index])))
        progress(index + 1, total)
    return synced


def precision_of(models: Models) -> tuple[str, str]:
    """The precisions UNet and VAE are in, by name; "" where one has none."""
    vae = getattr(models.codec, "autoencoder", None)
    return tuple(str(getattr(network, "dtype", "")).removeprefix("torch.") for network in (models.unet, vae))


def resume_after(record: SegmentRecord, models: Models, run_log: RunLog) -> None:
    """Bring the networks into the precision, and the log to the warnings, that a finished segment left behind."""
    networks = (models.unet, getattr(models.codec, "autoencoder", None))
    for network, left_in in zip(networks, (record.unet, record.vae), strict=True):
        if left_in == "float32" and network.dtype != torch.float32:
            network.float()
    run_log.add_warnings(record.warnings)
