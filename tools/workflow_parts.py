"""The parts that the LatentSync workflows share."""

from latentsync_core.models.catalog import MUSETALK_1_5, UNET_1_6, VAE_FT_MSE, WHISPER_TINY, ModelFile
from latentsync_core.models.download import resolve_url

EMBEDDED = "embedded (one portrait)"
HUB = "https://huggingface.co"
LATENTSYNC = (UNET_1_6, WHISPER_TINY, VAE_FT_MSE)
MUSETALK = (MUSETALK_1_5, WHISPER_TINY, VAE_FT_MSE)


def download_list(files: tuple[ModelFile, ...]) -> str:
    """Where each file is had, how large it is, where it goes and under what name."""
    return "\n".join(
        f"{number}. [{model.filename.rpartition('/')[2]}]({resolve_url(model, HUB)}) ({size_text(model)}) "
        f"into `models/{model.folder}` as `{model.name}`"
        for number, model in enumerate(files, start=1)
    )


def size_text(model: ModelFile) -> str:
    """As people read it."""
    return f"{model.size / 1e9:.1f} GB" if model.size >= 1e9 else f"{model.size / 1e6:.0f} MB"


def models_note(w, files: tuple[ModelFile, ...]):
    """What a workflow needs, below its loaders."""
    loader = "Load MuseTalk Model" if files is MUSETALK else "Load Model"
    w.note(f"""
## Three files to download
**Get models** on {loader} fetches them. By hand:
{download_list(files)}

Then press R, choose your clip and your voice, then Run.
""").look(height=260)


def suggest(node, model: ModelFile):
    """The node with the hint by which the canvas offers the file where it is missing."""
    return node.suggest_models({"name": model.name, "url": resolve_url(model, HUB), "directory": model.folder})


def inputs(w):
    """The clip and the voice."""
    w.column("Inputs · 输入")
    return w.add("LoadVideo", file="clip.mp4"), w.add("LoadAudio", audio="voice.wav")


def sample_inputs(w):
    """The clip and the voice that come with the nodes: video, audio."""
    w.column("Inputs · 输入")
    given = w.add("LatentSyncSample")
    return given["video"], given["audio"]


def models(w):
    """The three networks: model, whisper, vae."""
    w.column("Models · 模型")
    model = suggest(w.add("LatentSyncLoadModel", checkpoint=UNET_1_6.name), UNET_1_6)
    whisper = suggest(w.add("LatentSyncLoadWhisper", whisper=WHISPER_TINY.name), WHISPER_TINY)
    vae = suggest(w.add("VAELoader", vae_name=VAE_FT_MSE.name), VAE_FT_MSE)
    models_note(w, LATENTSYNC)
    return model, whisper, vae


def musetalk_models(w):
    """MuseTalk's three networks: model, whisper, vae."""
    w.column("Models · 模型")
    model = suggest(w.add("LatentSyncLoadMuseTalkModel", checkpoint=MUSETALK_1_5.name), MUSETALK_1_5)
    whisper = suggest(w.add("LatentSyncLoadWhisper", whisper=WHISPER_TINY.name, generator="musetalk"), WHISPER_TINY)
    vae = suggest(w.add("VAELoader", vae_name=VAE_FT_MSE.name), VAE_FT_MSE)
    models_note(w, MUSETALK)
    return model, whisper, vae


def embedded_models(w):
    """The three networks that come with the nodes: model, whisper, vae."""
    w.column("Models · 模型")
    model = w.add("LatentSyncLoadModel", checkpoint=EMBEDDED)
    whisper = w.add("LatentSyncLoadWhisper", whisper=EMBEDDED)
    return model, whisper, w.add("LatentSyncLoadVAE", vae=EMBEDDED)


def track_and_encode(w, video, audio, model, whisper, vae):
    """The inputs of the conditioning node: faces, face latents, audio chunks."""
    w.column("Face and voice · 人脸与语音")
    features = w.add("LatentSyncAudioFeatures", audio=audio, whisper=whisper)
    faces = w.add("LatentSyncFaceTrack", video=video)  # below: it grows
    w.column("Encode · 编码")
    latents = w.add("LatentSyncFaceEncode", faces=faces["faces"], vae=vae, resolution=model["resolution"])
    chunks = w.add("LatentSyncAudioChunks", features=features, faces=faces["faces"])
    return faces, latents, chunks


def conditioning(w, latents, chunks, model, mode="auto"):
    """Position encoding and conditioning: tokens, conditioned."""
    tokens = w.add("LatentSyncPositionEncoding", tokens=chunks["tokens"], model=model["model"], mode=mode)
    return tokens, w.add("LatentSyncConditioning", face_latents=latents["face_latents"], tokens=tokens)


def sample(w, model, conditioned, **values):
    """The LatentSync sampler; returns its latent."""
    return w.add(
        "LatentSyncSampler",
        model=model["model"],
        positive=conditioned["positive"],
        negative=conditioned["negative"],
        latent=conditioned["latent"],
        **values,
    )


def save(w, video, prefix):
    """The result as a file."""
    return w.add("SaveVideo", video=video, filename_prefix=f"video/{prefix}")
