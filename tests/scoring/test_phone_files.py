"""Timed phones from every form of file that aligners and people write."""

import numpy as np
import pytest

from latentsync_core.errors import LatentSyncError
from latentsync_core.scoring.phone_files import read_phones

POCKETSPHINX = (
    '{"b":0.0,"d":0.9,"t":"a map","w":[{"b":0.0,"d":0.1,"t":"<sil>","w":[{"b":0.0,"d":0.1,"t":"SIL"}]},'
    '{"b":0.1,"d":0.8,"t":"map","w":[{"b":0.1,"d":0.2,"t":"M"},{"b":0.3,"d":0.4,"t":"AE"},{"b":0.7,"d":0.2,"t":"P"}]}]}'
)
LABELS = "0.0 0.1 sil\n0.1\t0.3\tM\n\n0.3 0.7 AE1\n0.7 0.9 P -12.5\n"
HTK = "0 1000000 sil\n1000000 3000000 m\n3000000 7000000 ae\n7000000 9000000 p\n"
TEXTGRID = '''File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 0.9
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 0.9
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 0.9
            text = "map ""2"""
    item [2]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 0.9
        intervals: size = 4
        intervals [1]:
            xmin = 0
            xmax = 0.1
            text = ""
        intervals [2]:
            xmin = 0.1
            xmax = 0.3
            text = "M"
        intervals [3]:
            xmin = 0.3
            xmax = 0.7
            text = "AE1"
        intervals [4]:
            xmin = 0.7
            xmax = 0.9
            text = "P"
'''
SHORT_TEXTGRID = (
    'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n0.9\n<exists>\n1\n"IntervalTier"\n"phones"\n0\n0.9\n4\n'
    '0\n0.1\n""\n0.1\n0.3\n"M"\n0.3\n0.7\n"AE1"\n0.7\n0.9\n"P"\n'
)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("map.phone.json", POCKETSPHINX.encode()),
        ("map.txt", LABELS.encode()),
        ("map.txt", LABELS.encode("utf-8-sig").replace(b"\n", b"\r\n")),
        ("map.lab", HTK.encode()),
        ("map.TextGrid", TEXTGRID.encode()),
        ("map.TextGrid", TEXTGRID.encode("utf-16")),
        ("map.TextGrid", SHORT_TEXTGRID.encode()),
    ],
)
def test_every_form_of_file_tells_the_same(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    phones = read_phones(path)
    assert [phone.ipa for phone in phones] == ["", "m", "æ", "p"]
    assert np.allclose([(p.start, p.stop) for p in phones], [(0, 0.1), (0.1, 0.3), (0.3, 0.7), (0.7, 0.9)])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("he was not an ill disposed young man", r"line 1 is 'he was not .* needs `start stop phone` in seconds"),
        ("0.3 0.1 M", "'M' lasts from 0.3 to 0.1 s; a phone must start"),
        ("0.5 0.6 M\n0.1 0.2 AE", "'AE' at 0.1 s comes after 'M' at 0.5 s; order"),
        ("\n", "holds no phone"),
        ('{"t":"a","b":0,"d":1,"w":[{"t":"a","b":0,"d":1}]}', "no alignment of pocketsphinx .*'a' has no phones"),
        ('{"t":"a"', "no alignment of pocketsphinx"),
        (TEXTGRID.replace('"phones"', '"utterance"'), "no tier is called phones .*'words', 'utterance'"),
        (TEXTGRID[:-60], "cut short or damaged"),
    ],
)
def test_other_files_are_refused_in_a_sentence(tmp_path, content, message):
    path = tmp_path / "phones.txt"
    path.write_text(content)
    with pytest.raises(LatentSyncError, match=message):
        read_phones(path)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "voice.wav").write_bytes(b"RIFF\x00\xff\xf1")
    with pytest.raises(LatentSyncError, match="no text in UTF-8"):
        read_phones(tmp_path / "voice.wav")
