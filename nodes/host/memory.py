"""The host's memory manager, and its Cancel button."""

from functools import lru_cache

import comfy.model_management
import comfy.model_patcher
import torch

# The patcher that streams weights on newer hosts; ComfyUI 0.8 has one patcher only.
ModelPatcher = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
OUT_OF_MEMORY = comfy.model_management.OOM_EXCEPTION


def check_cancelled() -> None:
    """Raise the host's own exception when the user pressed Cancel."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def patch_small_model(module: torch.nn.Module, on_cpu: bool = False):
    """Put a small network under the host's memory management, as it does with its own audio encoders.

    on_cpu: keep it there; the face networks take longer to be fed on a GPU than to run on a CPU.
    """
    cpu = torch.device("cpu")
    load = cpu if on_cpu else comfy.model_management.text_encoder_device()
    offload = cpu if on_cpu else comfy.model_management.text_encoder_offload_device()
    return ModelPatcher(module.to(offload), load_device=load, offload_device=offload)


@lru_cache(maxsize=1)
def face_networks():
    """The face networks' patcher; the weights are read from the pack when a clip is first tracked."""
    from ...latentsync_core.faces import FaceNets

    return patch_small_model(FaceNets(), on_cpu=True)


def loaded(patcher) -> torch.nn.Module:
    """The patcher's module, on its device and patched, other models moved out of the way if they must."""
    comfy.model_management.load_models_gpu([patcher])
    return patcher.model


def windows_at_once(patcher, window_bytes: float) -> int:
    """How many windows of a loaded model go through it at once, by what its device has free; 1 where that is no GPU.

    window_bytes: what the host reckons a window to need. Weights that are still to come count as taken.
    """
    from ...latentsync_core.diffusion.batching import windows_that_fit

    device = patcher.load_device
    if comfy.model_management.is_device_cpu(device) or comfy.model_management.is_device_mps(device):
        return 1
    to_come = max(patcher.model_size() - patcher.loaded_size(), 0)
    return windows_that_fit(comfy.model_management.get_free_memory(device) - to_come, window_bytes)
