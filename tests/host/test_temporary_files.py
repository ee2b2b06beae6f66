"""Results that nothing shows any more are gone from the host's temp folder, run after run; pictures go with history."""

from own_files import tiny_stages


def test_only_the_last_result_stays(client, host, short_clip, short_voice):
    seen = set()
    for crf in (20, 21, 22):
        run = client.run(tiny_stages(short_clip, short_voice, {"LatentSyncFaceBlend": {"crf": crf}}))
        assert run.error is None, run.error["exception_message"]
        results = list((host.base / "temp").glob("latentsync_*.mp4"))
        assert len(results) == 1, "results of earlier runs are left"
        seen.update(results)
    assert len(seen) == 3
