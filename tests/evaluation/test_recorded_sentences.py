"""Recorded sentences are found in a folder, in the unpacked archive of pocketsphinx and in the packed one."""

import tarfile

import numpy as np
import pytest

from latentsync_core.audio.espeak import speak
from latentsync_core.errors import LatentSyncError
from latentsync_core.evaluation.recorded_sentences import read_sentences
from latentsync_core.training.synthetic.clips import write_wave

LABELS = "0.1 0.3 M\n0.3 0.5 AA\n"
ALIGNMENT = '{"t":"ma","b":0,"d":1,"w":[{"t":"ma","w":[{"b":0.1,"d":0.2,"t":"M"},{"b":0.3,"d":0.2,"t":"AA"}]}]}'


@pytest.fixture()
def unpacked(tmp_path):
    """The layout of pocketsphinx's source archive, with its label files of another kind and other voices."""
    top = tmp_path / "pocketsphinx-5.1.1"
    folder = top / "test" / "data" / "librivox"
    folder.mkdir(parents=True)
    (top / "test" / "data" / "cards").mkdir()
    for name in ("b", "a"):
        write_wave(np.full(16_000, 0.1, np.float32), folder / f"{name}.wav")
        (folder / f"{name}.phone.json").write_text(ALIGNMENT)
        (folder / f"{name}.lab").write_text("0.1 0.1 speech\n")
        (folder / f"{name}.txt").write_text(f"ma {name}\n")
    write_wave(np.zeros(16_000, np.float32), top / "test" / "data" / "cards" / "001.wav")
    return top


def pack(folder, archive):
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(folder, folder.name)
    return archive


def test_the_archive_gives_the_same_packed_and_unpacked(unpacked, tmp_path):
    (tmp_path / "out").mkdir()
    for source in (unpacked, pack(unpacked, tmp_path / "pocketsphinx.tar.gz")):
        sentences = read_sentences(source, tmp_path / "out")
        assert [(sentence.name, sentence.text) for sentence in sentences] == [("a", "ma a"), ("b", "ma b")]
        assert [phone.name for phone in sentences[0].phones] == ["M", "AA"]
        assert len(sentences[0].waveform) == 16_000 and sentences[0].waveform[500] == pytest.approx(0.1, abs=1e-3)


def test_a_sentence_covers_its_recording_for_the_renderer(tmp_path):
    write_wave(np.zeros(16_000, np.float32), tmp_path / "ma.wav")
    (tmp_path / "ma.lab").write_text("0.1 0.3 M\n0.4 0.5 AA\n")
    speech = read_sentences(tmp_path, tmp_path)[0].speech
    assert [p.ipa for p in speech.phonemes] == ["", "m", "", "ɑ", ""]
    assert speech.phonemes[0].start == 0 and speech.phonemes[-1].end == speech.duration == 1.0


def test_a_text_alone_is_aligned(tmp_path):
    try:
        speech = speak("My mother made apple pie.", "en-us+m3")
    except LatentSyncError as error:
        pytest.skip(f"espeak-ng cannot speak here: {error}")
    write_wave(speech.waveform, tmp_path / "pie.wav")
    (tmp_path / "pie.txt").write_text("My mother made apple pie.\n")
    labials = [phone.start for phone in read_sentences(tmp_path, tmp_path)[0].phones if phone.ipa in ("m", "p")]
    assert np.allclose(labials, [p.start for p in speech.phonemes if p.ipa in ("m", "p")], atol=0.1)


def test_nothing_leaves_the_folder_that_an_archive_names_outside_it(unpacked, tmp_path):
    (tmp_path / "out").mkdir()
    archive = tmp_path / "evil.tar"
    with tarfile.open(archive, "w") as packed:
        member = tarfile.TarInfo("top/test/data/librivox/../../../../../escaped.wav")
        packed.addfile(member)
        packed.add(unpacked / "test" / "data" / "librivox", "top/test/data/librivox")
    assert len(read_sentences(archive, tmp_path / "out")) == 2
    assert not list(tmp_path.rglob("escaped*"))


def test_what_is_no_recording_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(LatentSyncError, match="there is no recorded sentence here"):
        read_sentences(tmp_path / "empty", tmp_path)
    (tmp_path / "text.tar.gz").write_text("no archive")
    with pytest.raises(LatentSyncError, match="no archive that can be unpacked"):
        read_sentences(tmp_path / "text.tar.gz", tmp_path / "empty")
    write_wave(np.zeros(16_000, np.float32), tmp_path / "alone.wav")
    with pytest.raises(LatentSyncError, match="neither timed phones nor a text lie beside"):
        read_sentences(tmp_path, tmp_path)
    write_wave(np.zeros(8_000, np.float32), tmp_path / "alone.wav")
    with pytest.raises(LatentSyncError, match="lasts 0.50 s; a sentence of 1 s is needed"):
        read_sentences(tmp_path, tmp_path)
