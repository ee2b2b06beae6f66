"""``sync`` called in process, and the demand that a refusal is one sentence and leaves no file."""

import logging

import pytest
from small_media import QUICK, contents, cut_voice

from latentsync_core.__main__ import main
from latentsync_core.demo import CLIP
from latentsync_core.pipeline import estimate


@pytest.fixture(autouse=True)
def log_as_before():
    """The command line sets up the library's logger for its process; the other tests get theirs back."""
    library = logging.getLogger("latentsync_core")
    before = library.handlers, library.level, library.propagate
    yield
    library.handlers, library.level, library.propagate = before


@pytest.fixture(autouse=True, scope="session")
def each_kind_of_run_is_tried_once():
    """Before a run its stages are tried and timed for the estimate, which takes as long as a short run itself.

    Every kind of source and settings is really tried once; the next run of that kind is told the same costs.
    """
    tried, measure = {}, estimate.measure_costs

    def measure_once(inputs, models, settings, folder):
        info = inputs.video
        picture = (info.path.suffix, info.width, info.height, info.bit_depth)
        kind = (*picture, settings.resolution, settings.window, settings.steps, settings.guidance, settings.encode)
        if kind not in tried:
            tried[kind] = measure(inputs, models, settings, folder)
        return tried[kind]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimate, "measure_costs", measure_once)
        yield


@pytest.fixture
def sync(tmp_path, capsys):
    """``sync("--steps", 2)`` on the demo clip and 0.24 s of voice, into tmp_path/out/result.mp4: (code, out, err).

    An option given again replaces the one before.
    """
    folder = tmp_path / "out"
    folder.mkdir()
    voice = cut_voice(tmp_path / "voice.wav", 0.24)

    def run(*options) -> tuple[int, str, str]:
        given = ("--video", CLIP, "--audio", voice, "--out", folder / "result.mp4", *QUICK, *options)
        try:
            code = main(["sync", *map(str, given)])
        except SystemExit as ended:  # as argparse refuses
            code = ended.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def refused(sync, tmp_path):
    """``refused("--audio", path)`` -> the sentence; asserts that there is exactly one, and that no file was made."""

    def run(*options) -> str:
        before = contents(tmp_path)
        code, out, err = sync(*options)
        assert code == 2 and out == ""
        sentences = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(sentences) == 1 and err.endswith(sentences[0] + "\n"), err
        assert "Traceback" not in err
        assert contents(tmp_path) == before
        return sentences[0]

    return run
