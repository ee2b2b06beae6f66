"""How well lips and voice agree: the numbers of one clip, and clips beside one another."""

from fractions import Fraction

from comfy_api.latest import io

from ..latentsync_core.options import DEFAULT_FACE
from .types import CATEGORY, IMAGES_FPS


class SyncScore(io.ComfyNode):
    """VIDEO, or IMAGE + AUDIO -> numbers, a plot, and what they say."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentSyncSyncScore",
            display_name="LatentSync Sync Score",
            category=CATEGORY,
            description="Measures how well lips and voice agree, by the mesh of the face and without any download. With "
            "SyncNet v2 in the models folder its Sync-C and Sync-D stand in the text as well. No number stands alone: "
            "look at the plot.",
            inputs=[
                io.Video.Input("video", optional=True, tooltip="The clip to score, of one second or more."),
                io.Image.Input("images", optional=True, tooltip="A short clip as IMAGE frames, in place of the video."),
                io.Audio.Input(
                    "audio", optional=True, tooltip="The voice; the video's own sound if nothing is connected."
                ),
                io.Video.Input(
                    "source",
                    optional=True,
                    tooltip="The video it was made from: the text then says what else changed, and how steady and sharp "
                    "the mouth is beside it.",
                ),
                io.Float.Input(
                    "images_fps",
                    default=IMAGES_FPS,
                    min=1.0,
                    max=240.0,
                    step=0.001,
                    optional=True,
                    tooltip="Frames per second of the images; a video brings its own rate.",
                ),
                io.String.Input(
                    "face",
                    default=DEFAULT_FACE,
                    optional=True,
                    tooltip="Whose lips: auto, largest, left, right, a number of Face Track's preview, a point x,y or a "
                    "box x0,y0,x1,y1.",
                ),
            ],
            outputs=[
                io.Float.Output(
                    display_name="correlation", tooltip="Of the mouth's opening with what the voice asks for, -1 to 1."
                ),
                io.Float.Output(
                    display_name="agreement",
                    tooltip="Of opening and width, and of their speeds, at the offset: up to 0.2 for another's voice, "
                    "0.25 to 0.4 for filmed speakers, 0.5 and more for a clear lip-sync.",
                ),
                io.Float.Output(
                    display_name="confidence", tooltip="How far that stands above all other offsets; sure from 0.2 on."
                ),
                io.Int.Output(
                    display_name="offset_frames",
                    tooltip="By how many frames, at 25 per second, the sound comes later than the lips.",
                ),
                io.Image.Output(
                    display_name="plot", tooltip="Both curves, the agreement by offset, the best and the worst second."
                ),
                io.String.Output(display_name="text", tooltip="What the numbers say, and all of them."),
            ],
        )

    @classmethod
    def execute(
        cls, video=None, images=None, audio=None, source=None, images_fps: float = IMAGES_FPS, face: str = DEFAULT_FACE
    ) -> io.NodeOutput:
        from ..latentsync_core.scoring.words import summary, table
        from ..latentsync_core.visualize.score_card import score_card
        from .host.folders import temporary_folder
        from .host.scores import ScoreSockets, score_clip, score_inputs
        from .host.video import image_of

        rate = Fraction(str(round(images_fps, 3)))
        with temporary_folder() as folder:
            scored = score_clip(score_inputs(ScoreSockets(video, images, rate, audio, source, face), folder))
            card = image_of(score_card(scored))
        sync, text = scored.score.sync, f"{summary(scored.score)}\n\n{table(scored.score)}"
        numbers = sync.correlation, sync.agreement, sync.confidence, sync.offset_frames
        return io.NodeOutput(*numbers, card, text)


class CompareVideos(io.ComfyNode):
    """Two to four VIDEOs -> one VIDEO with all of them, their scores and their curves."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentSyncCompareVideos",
            display_name="LatentSync Compare Videos",
            category=CATEGORY,
            description="Shows clips beside one another in one video: each with its agreement with the voice and its "
            "offset, above the curve of its mouth. All are heard and measured with one sound; a clip that ends sooner "
            "keeps its last frame, darkened.",
            inputs=[
                io.Video.Input("a", tooltip="The first clip."),
                io.Video.Input("b", tooltip="The second clip; other sizes and rates are fine."),
                io.Video.Input("c", optional=True, tooltip="A third clip."),
                io.Video.Input("d", optional=True, tooltip="A fourth clip."),
                io.Audio.Input(
                    "audio",
                    optional=True,
                    tooltip="The voice; the sound of the first clip that has any if nothing is connected.",
                ),
                io.String.Input(
                    "labels",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip="A name for every clip, one a line. Empty: a, b, c, d.",
                ),
            ],
            outputs=[io.Video.Output(display_name="video", tooltip="The comparison, with that one sound.")],
        )

    @classmethod
    def execute(cls, a, b, c=None, d=None, audio=None, labels: str = "") -> io.NodeOutput:
        from .host.scores import compare_to_file
        from .host.video import video_from_file

        videos = {name: video for name, video in zip("abcd", (a, b, c, d), strict=True) if video is not None}
        names = [line.strip() for line in labels.splitlines() if line.strip()]
        return io.NodeOutput(video_from_file(compare_to_file(list(videos.values()), audio, names or list(videos))))
