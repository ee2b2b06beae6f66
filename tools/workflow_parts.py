"""The parts that the LatentSync workflows share."""

EMBEDDED = "embedded (one portrait)"
HUB = "https://huggingface.co"
VAE = {
    "name": "sd-vae-ft-mse.safetensors",
    "url": f"{HUB}/stabilityai/sd-vae-ft-mse/resolve/main/diffusion_pytorch_model.safetensors",
    "directory": "vae",
}
RELEASE = f"{HUB}/ByteDance/LatentSync-1.6/resolve/main"
DOWNLOADS = f"""
1. [latentsync_unet.pt]({RELEASE}/latentsync_unet.pt) (5 GB) into `models/latentsync` as `latentsync_unet_1.6.pt`
2. [tiny.pt]({RELEASE}/whisper/tiny.pt) (76 MB) into `models/latentsync` as `whisper_tiny.pt`
3. [diffusion_pytorch_model.safetensors]({VAE["url"]}) (335 MB) into `models/vae` as `{VAE["name"]}`
"""
MODELS_NOTE = f"""
## Three files to download
{DOWNLOADS.strip()}

Press R, then choose your clip and your voice, then Run.
"""


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
    model = w.add("LatentSyncLoadModel", checkpoint="latentsync_unet_1.6.pt")
    whisper = w.add("LatentSyncLoadWhisper", whisper="whisper_tiny.pt")
    vae = w.add("VAELoader", vae_name=VAE["name"]).suggest_models(VAE)
    w.note(MODELS_NOTE).look(height=230)
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
    faces = w.add("LatentSyncFaceTrack", video=video)
    features = w.add("LatentSyncAudioFeatures", audio=audio, whisper=whisper)
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
