"""Segment by segment: encode faces, generate new ones, paste and write them into a part of its own; stages overlap."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import av
from torch import Tensor

from ..generators.clip import Clip
from ..generators.generator import Generation, Generator
from ..generators.segments import Segment
from ..media import VideoReader
from ..media.write.mix import mixed_blocks
from ..media.write.parts import PartedVideo, PartWriter, join_parts
from ..progress import Callbacks
from ..run_log import RunLog
from .composite import composite
from .overlap import Cancellation, ahead, overlap_pays
from .plan import Plan
from .resume.run_folder import RunFolder, SegmentRecord
from .voice import Voice


@dataclass(frozen=True)
class Generated:
    """The file that was made, how many of its frames were synced, how many segments an earlier run had finished, and
    what the generator tells of the memory it took."""

    target: Path
    synced: int
    reused: int
    memory: dict[str, int]


@dataclass(frozen=True)
class Run:
    """What every stage of a run works with; its callbacks may be called by any thread."""

    plan: Plan
    generation: Generation
    folder: RunFolder
    log: RunLog
    callbacks: Callbacks


@dataclass(frozen=True)
class SegmentWork:
    """A segment on its way through the stages.

    record: of an earlier run that finished it. made: what the last stage made of it, None where there is nothing to
    generate. precisions: of each stage's network when it had done its part.
    """

    segment: Segment
    record: SegmentRecord | None = None
    made: Any = None
    precisions: dict[str, str] = field(default_factory=dict)


def generate(
    plan: Plan, voice: Voice, generator: Generator, folder: RunFolder, run_log: RunLog, callbacks: Callbacks
) -> Generated:
    """Make every segment that is not finished yet, then join all with the voice.

    While one segment is generated the next is encoded and the one before is pasted and written, each by a thread of
    its own. Two readers, each going forwards: one for the faces and, some segments behind, one for the pictures they go
    into.
    """
    path, cancellation = plan.inputs.video.path, Cancellation(callbacks.check_cancelled)
    video, overlapped = parted_video(plan, folder.target), overlap_pays(generator.device)
    with VideoReader(path) as crops, VideoReader(path) as pictures:
        generation = generator.begin(clip_of(plan, voice), crops)
        run = Run(plan, generation, folder, run_log, cancellation.shared(callbacks))
        with (
            ahead(encoded_segments(run), cancellation, overlapped) as encoded,
            ahead(sampled_segments(run, encoded), cancellation, overlapped) as sampled,
        ):
            synced, reused = write_segments(run, sampled, pictures, video)
    callbacks.on_progress("write", len(plan.timeline), len(plan.timeline))
    with run_log.stage("write"):
        parts = [(folder.part(segment), segment.start, segment.stop) for segment in plan.segments]
        join_parts(video, parts, sound_of(plan), overwrite=plan.settings.overwrite)
    return Generated(folder.target, synced, reused, memory=generation.memory())


def clip_of(plan: Plan, voice: Voice) -> Clip:
    """A plan as generators are told of it."""
    return Clip(
        video=plan.inputs.video.path,
        track=plan.track,
        crops=plan.crops,
        source=plan.timeline.source,
        times=plan.timeline.times,
        strength=plan.strength,
        segments=plan.segments,
        features=voice.features,
        settings=plan.settings,
    )


def encoded_segments(run: Run) -> Iterator[SegmentWork]:
    """First stage: every segment in order, with what it is generated from unless it is finished."""
    for segment in run.plan.segments:
        work = SegmentWork(segment, run.folder.finished(segment))
        encode = partial(run.generation.encode, segment, run.callbacks)
        yield after_stage("encode", work, run, encode if segment.groups else None)


def sampled_segments(run: Run, encoded: Iterator[SegmentWork]) -> Iterator[SegmentWork]:
    """Second stage: every segment in order, with what its faces are drawn from."""
    for work in encoded:
        generate = partial(run.generation.generate, work.segment, work.made, run.callbacks)
        yield after_stage("sample", work, run, None if work.made is None else generate)


def after_stage(stage: str, work: SegmentWork, run: Run, make: Callable[[], Any] | None) -> SegmentWork:
    """A segment with what a stage has made of it by `make`; a finished one only leaves its network's precision."""
    made = None
    if work.record is not None:
        run.generation.restore_precision(stage, work.record.precisions.get(stage, ""))
    elif make is not None:
        with run.log.stage(stage):
            made = make()
    return replace(work, made=made, precisions={**work.precisions, stage: run.generation.precision(stage)})


def write_segments(
    run: Run, sampled: Iterator[SegmentWork], pictures: VideoReader, video: PartedVideo
) -> tuple[int, int]:
    """Last stage: write every segment into a part of its own and note what is known of it.

    Returns how many frames were synced, and how many segments were finished already.
    """
    synced, reused, told = 0, 0, len(run.log.warnings)
    for work in sampled:
        segment, record = work.segment, work.record
        if record is not None:
            reused += 1
            run.generation.restore_precision("write", record.precisions.get("write", ""))
        else:
            faces = iter(()) if work.made is None else run.generation.faces(segment, work.made)
            with run.log.stage("write"), PartWriter(run.folder.part(segment), video, segment.start) as part:
                count = write_segment(segment, run.plan, faces, pictures, part, run.callbacks)
                precisions = {**work.precisions, "write": run.generation.precision("write")}
                record = SegmentRecord(count, precisions, warnings=tuple(run.log.warnings[told:]))
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
    frames = composite(shown, faces, plan.crops, plan.strength[segment.frames])
    for index, composited in enumerate(frames, start=segment.start):
        callbacks.check_cancelled()
        part.write(composited.picture)
        synced += composited.synced
        callbacks.on_frame(index, replace(composited, seconds=float(plan.timeline.times[index])))
        progress(index + 1, total)
    return synced
