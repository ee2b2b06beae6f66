"""What becomes of a lossless result in Save Video is what Face Blend's tooltip and message say."""

import av
from own_files import tiny_stages


def test_save_video_keeps_it_lossless_and_chooses_the_container(client, object_info, short_clip, short_voice):
    choices = object_info["SaveVideo"]["input"]["required"]["format"][1]["options"]
    formats = [choice["key"] if isinstance(choice, dict) else choice for choice in choices]
    ways = [({"format": "auto"}, ".mp4")]
    if "mkv" in formats:
        ways.append(({"format": "mkv", "format.codec": "auto"}, ".mkv"))
    for saved, suffix in ways:
        run = client.run(
            tiny_stages(short_clip, short_voice, {"LatentSyncFaceBlend": {"codec": "ffv1"}, "SaveVideo": saved})
        )
        assert run.error is None, run.error["exception_message"]
        (video,) = [file for file in run.files if file.suffix in (".mp4", ".mkv")]
        assert video.suffix == suffix
        with av.open(str(video)) as container:
            assert container.streams.video[0].codec.name == "ffv1"
            assert container.streams.audio[0].codec.name.startswith("pcm")
