"""The embedded model, without any download."""

from workflow_parts import LATENTSYNC, download_list, embedded_models, sample_inputs, save

NOTE = f"""
## Nothing to download: press Run
The model, the Whisper and the VAE of this workflow come with the nodes. They really speak, on any machine, but know \
**one portrait only**, at 128 pixels.

**LatentSync Sample** gives that portrait and a sentence. Any other voice will do: put **Load Audio** in its place. \
Another face will not.

## Any other face
Press **Get models** on Load Model, or fetch by hand:

{download_list(LATENTSYNC)}

Then press R and open the workflow `lipsync_simple`: it takes your own clip and voice
"""


def describe(w):
    w.column("Read me · 说明")
    w.note(NOTE, width=460).look(height=300)
    video, audio = sample_inputs(w)
    model, whisper, vae = embedded_models(w)
    w.column("Lip sync · 口型同步")
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
    w.column("Result · 结果")
    saved = save(w, synced, "lipsync_embedded")
    w.app_view([(synced, name) for name in ("steps", "guidance", "seed")], [saved])
