"""The embedded model, without any download."""

from workflow_parts import HUB, VAE, embedded_models, inputs, save

RELEASE = f"{HUB}/ByteDance/LatentSync-1.6/resolve/main"
NOTE = f"""
## Nothing to download
The model, the Whisper and the VAE of this workflow come with the nodes. They really speak, on any machine, but know \
**one portrait only**, at 128 pixels.

That portrait is in `latentsync_core/demo` of this node pack: copy `clip.mp4` and `voice.wav` from there into \
ComfyUI's `input` folder, press R, then Run. Any voice will do in place of that one; another face will not.

## Any other face
1. [latentsync_unet.pt]({RELEASE}/latentsync_unet.pt) into `models/latentsync` as `latentsync_unet_1.6.pt`
2. [tiny.pt]({RELEASE}/whisper/tiny.pt) into `models/latentsync` as `whisper_tiny.pt`
3. [diffusion_pytorch_model.safetensors]({VAE["url"]}) into `models/vae` as `{VAE["name"]}`
4. press R and choose them in the three loaders, or open the workflow `lipsync`
"""


def describe(w):
    w.column("Read me")
    w.note(NOTE, width=460).look(height=320)
    video, audio = inputs(w)
    model, whisper, vae = embedded_models(w)
    w.column("Lip sync")
    synced = w.add(
        "LatentSyncLipSync",
        video=video,
        audio=audio,
        model=model["model"],
        whisper=whisper,
        vae=vae,
        resolution=model["resolution"],
        steps=20,
        guidance=1.5,
    )
    w.column("Result")
    save(w, synced, "lipsync_embedded")
