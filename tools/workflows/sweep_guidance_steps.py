"""Two guidance scales, each with few and with many steps: every result scored, all four beside one another."""

from itertools import product

from workflow_parts import conditioning, embedded_models, sample, sample_inputs, save, track_and_encode

GUIDANCES, STEPS = (1.0, 2.0), (4, 20)
NOTE = """
## Which settings suit a clip?
Four results from one track of the face: guidance 1.0 and 2.0, each with 4 and with 20 steps. **Compare Videos** shows \
them beside one another with their scores; **Sync Score** draws the curves of each and says what the numbers mean.

Nothing needs to be downloaded: press Run. For any other face put **Load Video** and **Load Audio** in place of \
**LatentSync Sample**, and choose other models in the three loaders.

Filmed speakers agree with their own voice by 0.25 to 0.4, another's voice gives up to 0.2, a clear lip-sync 0.5 and \
more. Look at the mouths too: a high agreement does not show whether they are sharp.
"""


def describe(w):
    video, audio = sample_inputs(w)
    w.note(NOTE).look(height=400)
    model, whisper, vae = embedded_models(w)
    faces, latents, chunks = track_and_encode(w, video, audio, model, whisper, vae)
    tokens, conditioned = conditioning(w, latents, chunks, model)
    results = {}
    for guidance, steps in product(GUIDANCES, STEPS):
        name = f"guidance {guidance}, {steps} steps"
        w.column(f"{name.capitalize()} · 引导 {guidance}，{steps} 步")
        latent = sample(w, model, conditioned, guidance=guidance, steps=steps)
        blended = w.add("LatentSyncFaceBlend", faces=faces["faces"], tokens=tokens, latent=latent, vae=vae)
        results[name] = blended["video"]
        score = w.add("LatentSyncSyncScore", video=blended["video"], source=video)
        w.add("PreviewImage", images=score["plot"]).look("Curves", height=210)
        w.add("PreviewAny", source=score["text"]).look("What they say", height=240)
    w.column("All four beside one another · 四个结果并排")
    videos = dict(zip("abcd", results.values(), strict=True))
    compared = w.add("LatentSyncCompareVideos", **videos, labels="\n".join(results))
    save(w, compared, "sweep_guidance_steps")
