"""Generate the faces: our sampler with the reference's numerics, and what stock samplers need to match it."""

import logging

from comfy_api.latest import io

from ..latentsync_core.options import (
    DEFAULT_GUIDANCE,
    DEFAULT_REUSE,
    DEFAULT_SEED,
    DEFAULT_STEPS,
    MAX_SEED,
    MAX_STEPS,
    PUBLISHED_REUSE,
    SOLVERS,
)
from ..latentsync_core.presets import NO_STUDENT, STUDENT_PRESET, find_preset, student_preset
from .types import CATEGORY, CUSTOM, GuidanceType, preset_input

ONE_PASS = "MuseTalk redraws every frame in one pass: steps, guidance, seed, schedule, reuse and preset were not used."
log = logging.getLogger(__name__)
SIGMA_SCHEDULES = ("ddim", "ddim-trailing")  # those whose steps are Euler's over noise levels


class FeatureReuse(io.ComfyNode):
    """MODEL -> a MODEL that reuses most of the network between steps, under any sampler."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentSyncFeatureReuse",
            display_name="LatentSync Feature Reuse",
            category=CATEGORY,
            description="Runs the whole network at every Nth denoising step only and reuses most of it in between, as the "
            "published scripts do. Works under stock samplers too.",
            inputs=[
                io.Model.Input("model", tooltip="From LatentSync Load Model, with or without LoRA."),
                io.Int.Input(
                    "reuse",
                    default=PUBLISHED_REUSE,
                    min=1,
                    max=MAX_STEPS,
                    tooltip="Every how many steps the whole network runs: 3 as published, 2 is closer to the full result, 1 "
                    "reuses nothing.",
                ),
                io.Int.Input(
                    "reuse_null",
                    default=0,
                    min=0,
                    max=MAX_STEPS,
                    tooltip="The same for the prediction without the voice. 0 as above; twice as many is faster and, at a "
                    "guidance of 1.5, closer to the full result.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="For the LatentSync Sampler and for stock samplers.")
            ],
        )

    @classmethod
    def execute(cls, model, reuse: int, reuse_null: int) -> io.NodeOutput:
        from .host.feature_reuse import ReuseIntervals, with_feature_reuse
        from .host.native_model import require_native

        require_native(model)
        return io.NodeOutput(with_feature_reuse(model, ReuseIntervals(reuse, reuse_null or reuse)))


class GuidanceOptions(io.ComfyNode):
    """Where along the schedule the voice is pushed, and how the result is kept in range."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentSyncGuidanceOptions",
            display_name="LatentSync Guidance Options",
            category=CATEGORY,
            description="Finer control of classifier-free guidance for the LatentSync Sampler.",
            inputs=[
                io.Float.Input(
                    "rescale",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Pulls the contrast back to what it is without guidance; try 0.5 when strong guidance "
                    "oversaturates.",
                ),
                io.Float.Input(
                    "start",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Guide from this part of the schedule on; the steps before take half the time.",
                ),
                io.Float.Input(
                    "end",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Guide up to this part of the schedule; the steps after take half the time.",
                ),
            ],
            outputs=[GuidanceType.Output(display_name="guidance_options", tooltip="For the LatentSync Sampler.")],
        )

    @classmethod
    def validate_inputs(cls, start: float, end: float) -> bool | str:
        return True if start <= end else f"start {start} lies after end {end}; the guided part must not be empty"

    @classmethod
    def execute(cls, rescale: float, start: float, end: float) -> io.NodeOutput:
        from ..latentsync_core.diffusion import Guidance

        return io.NodeOutput(Guidance(rescale=rescale, start=start, end=end))


class Sampler(io.ComfyNode):
    """MODEL + conditioning -> LATENT, in the reference's numbers."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentSyncSampler",
            display_name="LatentSync Sampler",
            category=CATEGORY,
            description="Generates the faces window by window with the reference's own schedule, noise and guidance.",
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="From LatentSync Load Model, with or without LoRA. A MuseTalk model redraws every frame in one "
                    "pass, with no use for any setting here.",
                ),
                io.Conditioning.Input("positive", tooltip="From LatentSync Conditioning."),
                io.Conditioning.Input("negative", tooltip="From LatentSync Conditioning."),
                io.Latent.Input("latent", tooltip="From LatentSync Conditioning."),
                io.Int.Input(
                    "steps",
                    default=DEFAULT_STEPS,
                    min=1,
                    max=MAX_STEPS,
                    tooltip="Denoising steps: 20 to 50. More are slower and a little cleaner.",
                ),
                io.Float.Input(
                    "guidance",
                    default=DEFAULT_GUIDANCE,
                    min=1.0,
                    max=10.0,
                    step=0.1,
                    tooltip="How strongly the voice drives the mouth: 1 to 3. Higher syncs harder and distorts sooner; "
                    "1 takes half the time.",
                ),
                io.Int.Input(
                    "seed",
                    default=DEFAULT_SEED,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=True,
                    tooltip="The one frame of noise that all frames start from; the same seed gives the same result.",
                ),
                io.Combo.Input(
                    "schedule",
                    options=list(SOLVERS),
                    tooltip="ddim is the reference. dpm++2m and unipc reach a similar picture in about half the steps. "
                    "ddim-trailing and lcm are for few-step students, with a guidance of 1.",
                ),
                GuidanceType.Input("guidance_options", optional=True, tooltip="From LatentSync Guidance Options."),
                io.Int.Input(
                    "reuse",
                    default=DEFAULT_REUSE,
                    min=1,
                    max=MAX_STEPS,
                    optional=True,
                    tooltip="Run the whole network at every Nth step and reuse most of it in between: 3, as the published "
                    "scripts, takes less than half the time. 1 reuses nothing, or as LatentSync Feature Reuse says.",
                ),
                preset_input(),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="The generated faces, for Face Blend or VAE Decode.")
            ],
        )

    @classmethod
    def execute(
        cls,
        model,
        positive,
        negative,
        latent,
        steps,
        guidance,
        seed,
        schedule,
        guidance_options=None,
        reuse=DEFAULT_REUSE,
        preset=CUSTOM,
    ) -> io.NodeOutput:
        from dataclasses import replace

        from ..latentsync_core.diffusion import Guidance, SamplerSettings
        from .host.messages import show_in_node
        from .host.native_model import is_musetalk, sample_natively
        from .host.native_musetalk import redraw_natively
        from .host.students import warn_of_other_sampling

        if is_musetalk(model):
            samples = redraw_natively(model, positive, negative, latent["samples"])
            show_in_node(ONE_PASS)
            return io.NodeOutput({**latent, "samples": samples})
        reuse_null = None
        if preset != CUSTOM:
            model, chosen = preset_of(model, preset)
            steps, guidance, schedule = chosen.steps, chosen.guidance, chosen.solver
            reuse, reuse_null = chosen.reuse, chosen.reuse_null
        else:
            warn_of_other_sampling(model, steps, schedule, guidance)
        options = replace(guidance_options or Guidance(), scale=guidance)
        settings = SamplerSettings(steps=steps, guidance=options, solver=schedule, reuse=reuse, reuse_null=reuse_null)
        samples = sample_natively(model, positive, negative, latent["samples"], settings, seed)
        return io.NodeOutput({**latent, "samples": samples})


def preset_of(model, name: str):
    """A MODEL and the values of the preset `name` for it; turbo makes the embedded model its student, and says so."""
    from .host.messages import show_in_node
    from .host.students import as_student

    if name != STUDENT_PRESET:
        return model, find_preset(name)
    model, student = as_student(model)
    if student is None:
        text, chosen = NO_STUDENT, find_preset(name)
        log.warning(text)
    else:
        text, chosen = f"The model is {student.describe()}.", student_preset(student)
        log.info(text)
    show_in_node(text)
    return model, chosen


class SharedNoise(io.ComfyNode):
    """One frame of noise for every frame, scaled as the reference starts."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentSyncNoise",
            display_name="LatentSync Noise",
            category=CATEGORY,
            description="The reference's noise for SamplerCustomAdvanced: one frame, repeated. With LatentSync Sigmas and "
            "the euler sampler the result equals the LatentSync Sampler's.",
            inputs=[
                io.Int.Input(
                    "seed",
                    default=DEFAULT_SEED,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=True,
                    tooltip="The same seed draws the same noise as in the LatentSync Sampler.",
                ),
                io.Sigmas.Input(
                    "sigmas", tooltip="The same SIGMAS the sampler gets: the noise is scaled to the first."
                ),
            ],
            outputs=[io.Noise.Output(display_name="noise", tooltip="For SamplerCustomAdvanced.")],
        )

    @classmethod
    def execute(cls, seed: int, sigmas) -> io.NodeOutput:
        return io.NodeOutput(RepeatedNoise(seed, float(sigmas[0])))


class RepeatedNoise:
    """The host's noise object: `seed`, and `generate_noise(latent)` on the CPU."""

    def __init__(self, seed: int, first_sigma: float):
        self.seed = seed
        # The reference starts from unit variance; the host multiplies noise by sigma and adds nothing else.
        self.scale = (1 + first_sigma**2) ** 0.5 / first_sigma

    def generate_noise(self, latent: dict):
        """(frames, 4, h, w), every frame the same."""
        import torch

        from ..latentsync_core.diffusion import shared_noise

        samples = latent["samples"]
        noise = shared_noise(samples.shape[-1], torch.Generator().manual_seed(self.seed))[0, :, 0]  # (4, h, w)
        return (noise * self.scale).expand(len(samples), -1, -1, -1).clone()


class Sigmas(io.ComfyNode):
    """The reference's schedule as SIGMAS."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentSyncSigmas",
            display_name="LatentSync Sigmas",
            category=CATEGORY,
            description="The reference's schedule for SamplerCustomAdvanced. Unlike ddim_uniform it ends at the model's "
            "smallest noise level instead of zero.",
            inputs=[
                io.Int.Input(
                    "steps", default=DEFAULT_STEPS, min=1, max=MAX_STEPS, tooltip="Denoising steps: 20 to 50."
                ),
                io.Combo.Input(
                    "schedule",
                    options=list(SIGMA_SCHEDULES),
                    optional=True,
                    tooltip="ddim is the reference. ddim-trailing starts at the noisiest level, as few-step students are "
                    "trained: with one, its own number of steps and a guidance of 1.",
                ),
            ],
            outputs=[
                io.Sigmas.Output(display_name="sigmas", tooltip="For SamplerCustomAdvanced and LatentSync Noise.")
            ],
        )

    @classmethod
    def execute(cls, steps: int, schedule: str = SIGMA_SCHEDULES[0]) -> io.NodeOutput:
        from ..latentsync_core.diffusion import reference_sigmas

        return io.NodeOutput(reference_sigmas(steps, schedule))
