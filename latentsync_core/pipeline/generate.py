"""Segment by segment: encode faces, denoise them, paste and write them into a part of its own; stages overlap."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import av
import torch
from torch import Tensor

from ..audio import Features, indices_at
from ..diffusion import NonFiniteLatentsError, SamplerSettings, WindowBatch, sample_clip
from ..diffusion.conditioning import TrainedConditioning
from ..errors import LatentSyncError
from ..media import VideoReader
from ..media.write.mix import mixed_blocks
from ..media.write.parts import PartedVideo, PartWriter, join_parts
from ..models.loading import Models
from ..models.vae import LatentCodec
from ..progress import Callbacks
from .composite import composite, generated_faces
from .encode import ClipConditioning, FaceLatents
from .latent_cache import LatentCache
from .overlap import Cancellation, ahead, overlap_pays
from .plan import Plan
from .resume.run_folder import RunFolder, SegmentRecord
from .run_cache import cached_moments
from .run_log import RunLog
from .segments import Segment
from .settings import Settings
from .voice import Voice

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Generated:
    """The file that was made, how many of its frames were synced, how many segments an earlier run had finished, the
    most bytes of latents held at once, and how many windows went through the network at once in the end."""

    target: Path
    synced: int
    reused: int
    latent_bytes: int
    windows_at_once: int


@dataclass(frozen=True)
class Run:
    """What every stage of a run works with; its callbacks may be called by any thread."""

    plan: Plan
    voice: Voice
    models: Models
    folder: RunFolder
    log: RunLog
    callbacks: Callbacks
    sampler: SamplerSettings


@dataclass(frozen=True)
class SegmentWork:
    """A segment on its way through the stages.

    record: of an earlier run that finished it. conditioning: once it is encoded; latents (1, 4, frames, h, w): once it
    is denoised. Both are None where there is nothing to generate. unet, encoder: the precisions the networks were in
    when they had done their part.
    """

    segment: Segment
    record: SegmentRecord | None = None
    conditioning: ClipConditioning | None = None
    latents: Tensor | None = None
    unet: str = ""
    encoder: str = ""


def generate(
    plan: Plan, voice: Voice, models: Models, folder: RunFolder, run_log: RunLog, callbacks: Callbacks
) -> Generated:
    """Make every segment that is not finished yet, then join all with the voice.

    While one segment is denoised the next is encoded and the one before is pasted and written, each by a thread of its
    own. Two readers, each going forwards: one for the faces and, some segments behind, one for the pictures they go
    into.
    """
    path, settings, cancellation = plan.inputs.video.path, plan.settings, Cancellation(callbacks.check_cancelled)
    batch = WindowBatch(settings.batch)
    sampler = sampler_settings(settings, models, batch)
    run = Run(plan, voice, models, folder, run_log, cancellation.shared(callbacks), sampler)
    video, overlapped = parted_video(plan, folder.target), overlap_pays(models.device)
    with VideoReader(path) as crops, VideoReader(path) as pictures:
        moments = cached_moments(settings.cache, path, plan.alignment, models.codec, models.device)
        cache = LatentCache(
            crops, plan.segments, plan.timeline.source, plan.alignment, models.codec, settings.seed, moments
        )
        with (
            ahead(encoded_segments(run, cache), cancellation, overlapped) as encoded,
            ahead(sampled_segments(run, encoded, cache.noise.start), cancellation, overlapped) as sampled,
        ):
            synced, reused = write_segments(run, sampled, pictures, video)
    callbacks.on_progress("write", len(plan.timeline), len(plan.timeline))
    with run_log.stage("write"):
        parts = [(folder.part(segment), segment.start, segment.stop) for segment in plan.segments]
        join_parts(video, parts, sound_of(plan), overwrite=settings.overwrite)
    return Generated(folder.target, synced, reused, latent_bytes=cache.peak, windows_at_once=batch.at_once)


def encoded_segments(run: Run, cache: LatentCache) -> Iterator[SegmentWork]:
    """First stage: every segment in order, with what it is denoised from unless it is finished."""
    codec, callbacks = run.models.codec, run.callbacks
    for segment in run.plan.segments:
        record, conditioning = run.folder.finished(segment), None
        if record is not None:
            resume_precision(encoder_of(codec), record.vae)
        elif segment.groups:
            with run.log.stage("encode"):
                faces = cache.of(segment, callbacks.progress("encode"), callbacks.check_cancelled)
                conditioning = condition_segment(segment, run.plan, faces, run.voice.features, run.models)
        yield SegmentWork(segment, record, conditioning, encoder=precision_of(encoder_of(codec)))


def sampled_segments(run: Run, encoded: Iterator[SegmentWork], noise: Tensor) -> Iterator[SegmentWork]:
    """Second stage: every segment in order, with its latents."""
    unet = run.models.unet
    for work in encoded:
        latents = None
        if work.record is not None:
            resume_precision(unet, work.record.unet)
        elif work.conditioning is not None:
            with run.log.stage("sample"):
                latents = sample_segment(work.segment, run.sampler, work.conditioning, noise, run.models, run.callbacks)
        yield replace(work, conditioning=None, latents=latents, unet=precision_of(unet))


def write_segments(
    run: Run, sampled: Iterator[SegmentWork], pictures: VideoReader, video: PartedVideo
) -> tuple[int, int]:
    """Last stage: write every segment into a part of its own and note what is known of it.

    Returns how many frames were synced, and how many segments were finished already.
    """
    codec, synced, reused, told = run.models.codec, 0, 0, len(run.log.warnings)
    for work in sampled:
        segment, record = work.segment, work.record
        if record is not None:
            reused += 1
            resume_precision(decoder_of(codec), record.vae_decoder or record.vae)
        else:
            faces = iter(()) if work.latents is None else generated_faces(work.latents, segment.synced, codec)
            with run.log.stage("write"), PartWriter(run.folder.part(segment), video, segment.start) as part:
                count = write_segment(segment, run.plan, faces, pictures, part, run.callbacks)
                precisions = {"unet": work.unet, "vae": work.encoder, "vae_decoder": precision_of(decoder_of(codec))}
                record = SegmentRecord(count, **precisions, warnings=tuple(run.log.warnings[told:]))
                run.folder.note(segment, record)
        run.log.add_warnings(record.warnings)
        told = len(run.log.warnings)
        synced += record.synced
    return synced, reused


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


def sampler_settings(settings: Settings, models: Models, batch: WindowBatch) -> SamplerSettings:
    """How every segment is denoised. batch: of the whole run, so that one memory error is enough."""
    return SamplerSettings(
        steps=settings.steps,
        guidance=settings.guidance,
        solver=settings.solver,
        device=models.device,
        reuse=settings.reuse,
        reuse_null=settings.reuse_null,
        batch=batch,
    )


def sample_segment(
    segment: Segment,
    sampler: SamplerSettings,
    conditioning: ClipConditioning,
    noise: Tensor,
    models: Models,
    callbacks: Callbacks,
) -> Tensor:
    """Denoise a segment to latents (1, 4, frames, h, w); if half precision ends in NaN, once more in float32.

    The network stays in float32 then, for all segments to come, and a warning says so.
    """
    reach, progress = segment.reach, callbacks.progress("sample")
    before, total = sampler.steps * segment.first_window, sampler.steps * segment.all_windows
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


def encoder_of(codec: LatentCodec):
    """The half of a codec's networks that encodes; None where a host has them."""
    return getattr(codec, "encoding", None)


def decoder_of(codec: LatentCodec):
    """The half of a codec's networks that decodes; None where a host has them."""
    return getattr(codec, "decoding", None)


def precision_of(network: object) -> str:
    """The precision of a network by name; "" where it has none."""
    return str(getattr(network, "dtype", "")).removeprefix("torch.")


def resume_precision(network, left_in: str) -> None:
    """Bring a network into the precision that a finished segment left it in."""
    if left_in == "float32" and precision_of(network) not in ("", "float32"):
        network.float()
