"""The nodes, in the order a graph uses them."""

from comfy_api.latest import ComfyExtension, io

from .audio import AudioChunks, AudioFeatures, PositionEncoding, VideoVoice
from .blend import FaceBlend
from .conditioning import Conditioning
from .draft import Draft
from .faces import FaceEncode, FaceTrack
from .host.clip_route import register_clip_route
from .host.folders import register_model_folder
from .host.model_routes import register_routes
from .lip_sync import LipSync
from .load import LoadModel, LoadMuseTalkModel, LoadVAE, LoadWhisper
from .sample_clip import SampleClip
from .sampling import FeatureReuse, GuidanceOptions, Sampler, SharedNoise, Sigmas
from .score import CompareVideos, SyncScore


class LatentSyncExtension(ComfyExtension):
    """What the pack offers to the canvas."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        register_model_folder()  # the loaders' lists read it
        register_clip_route()
        register_routes()
        return [
            LipSync,
            SampleClip,
            LoadModel,
            LoadMuseTalkModel,
            LoadWhisper,
            LoadVAE,
            VideoVoice,
            AudioFeatures,
            AudioChunks,
            PositionEncoding,
            FaceTrack,
            FaceEncode,
            Conditioning,
            FeatureReuse,
            GuidanceOptions,
            Sampler,
            SharedNoise,
            Sigmas,
            FaceBlend,
            Draft,
            SyncScore,
            CompareVideos,
        ]
