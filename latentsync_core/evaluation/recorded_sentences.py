"""Recorded sentences with timed phones, from a folder or from the source archive of the package pocketsphinx.

The archive (pocketsphinx 5.1.1 on PyPI, BSD) carries five sentences that one woman read for LibriVox (public domain),
with the phones that its aligner timed. It is for development only and never part of this package.
"""

import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..audio import SAMPLE_RATE_HZ
from ..audio.espeak import Speech
from ..errors import LatentSyncError
from ..media import read_waveform
from ..scoring.phone_alignment import align_text
from ..scoring.phone_files import decoded_text, read_phones
from ..scoring.phones import Phone, speech_of

ARCHIVE_FOLDER = Path("test", "data", "librivox")  # inside the archive's own top folder
PHONE_FILES = (".phone.json", ".TextGrid", ".lab")  # in this order: pocketsphinx's own .lab files hold no phones
LEAST_SECONDS = 1.0  # of a sentence
NEEDS = "wave files with timed phones or an English text beside them (a.phone.json, .TextGrid, .lab or .txt for a.wav)"


@dataclass(frozen=True, eq=False)
class RecordedSentence:
    """waveform: (samples,) float32 at 16 kHz; phones: timed, in order; text: what is said, "" where no .txt tells."""

    name: str
    waveform: np.ndarray
    phones: tuple[Phone, ...]
    text: str = ""

    @property
    def speech(self) -> Speech:
        """As the renderer of mouths takes it."""
        return speech_of(self.waveform, self.phones)


def read_sentences(source: Path, folder: Path) -> list[RecordedSentence]:
    """Read every sentence of a folder, or of pocketsphinx's source archive, packed (.tar.gz) or unpacked.

    folder: an existing one, for what is unpacked. Raises LatentSyncError where there is none, or a voice has no phones.
    """
    if source.is_file():
        source = unpack(source, folder)
    elif (source / ARCHIVE_FOLDER).is_dir():
        source = source / ARCHIVE_FOLDER
    voices = sorted(source.glob("*.wav"))
    if not voices:
        raise LatentSyncError(f"{source}: there is no recorded sentence here; {NEEDS} are needed.")
    return [read_sentence(voice) for voice in voices]


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack the sentences of pocketsphinx's source archive into `folder`, flat, whatever paths it names."""
    try:
        with tarfile.open(archive) as packed:
            for member in packed:
                path = Path(member.name)
                if member.isfile() and path.parent.parts[1:] == ARCHIVE_FOLDER.parts:
                    content = packed.extractfile(member)
                    if content is not None:
                        (folder / path.name).write_bytes(content.read())
    except (tarfile.TarError, EOFError, OSError) as error:
        raise LatentSyncError(
            f"{archive}: this is no archive that can be unpacked ({error}); name the folder of the recordings, or get "
            "the source archive of pocketsphinx again."
        ) from error
    return folder


def read_sentence(voice: Path) -> RecordedSentence:
    """A voice with the files beside it."""
    waveform, text = read_waveform(voice), voice.with_suffix(".txt")
    if len(waveform) < LEAST_SECONDS * SAMPLE_RATE_HZ:
        seconds = len(waveform) / SAMPLE_RATE_HZ
        raise LatentSyncError(
            f"{voice}: this voice lasts {seconds:.2f} s; a sentence of {LEAST_SECONDS:g} s is needed."
        )
    said = decoded_text(text, "what the voice says").strip() if text.exists() else ""
    return RecordedSentence(voice.stem, waveform, phones_of(voice, waveform, said), said)


def phones_of(voice: Path, waveform: np.ndarray, text: str) -> tuple[Phone, ...]:
    """The phones of the file that has a voice's name, or else of its text, aligned by espeak-ng."""
    for extension in PHONE_FILES:
        path = voice.with_name(voice.stem + extension)
        if path.exists():
            return read_phones(path)
    if text:
        return align_text(text, waveform)
    raise LatentSyncError(f"{voice}: neither timed phones nor a text lie beside this voice; {NEEDS} are needed.")
