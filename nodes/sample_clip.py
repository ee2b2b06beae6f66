"""The clip and the voice that come with the nodes, for a first run with nothing to load."""

from comfy_api.latest import io

from .types import CATEGORY


class SampleClip(io.ComfyNode):
    """-> VIDEO and AUDIO of the pack's own."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentSyncSample",
            display_name="LatentSync Sample",
            category=CATEGORY,
            description="A portrait of 6 seconds and a sentence of 5 that come with the nodes: something to try every "
            "node with. The portrait is the one that the embedded model knows.",
            inputs=[],
            outputs=[
                io.Video.Output(display_name="video", tooltip="512 x 512 pixels, 25 frames per second, without sound."),
                io.Audio.Output(display_name="audio", tooltip="One spoken sentence, 22.05 kHz mono."),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        import torch

        from ..latentsync_core.demo import CLIP, VOICE
        from ..latentsync_core.media import probe_audio, read_channels
        from .host.video import video_from_file

        info = probe_audio(VOICE)
        waveform = torch.from_numpy(read_channels(info))[None]  # (1, channels, samples)
        return io.NodeOutput(video_from_file(str(CLIP)), {"waveform": waveform, "sample_rate": info.sample_rate})
