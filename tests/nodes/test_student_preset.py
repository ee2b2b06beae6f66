"""The preset turbo makes the embedded MODEL its student, as the command line does; other models sample as fast."""

import importlib
import logging

import torch


def modules(pack, name: str):
    return importlib.import_module(f"{pack.__name__}.{name}")


def test_turbo_adds_the_package_s_lora_and_takes_its_steps(pack):
    students = modules(pack, "latentsync_core.models.students")
    embedded = modules(pack, "latentsync_core.models.embedded")
    native = modules(pack, "nodes.host.native_model").native_model(
        embedded.embedded_checkpoint(), torch.float32, "shared"
    )
    patched, chosen = modules(pack, "nodes.sampling").preset_of(native, "turbo")
    student = students.recorded_student(students.EMBEDDED_STUDENT)
    assert (chosen.steps, chosen.solver, chosen.guidance) == (student.steps, student.solver, 1.0)
    expected = modules(pack, "latentsync_core.models.loading").load_models(
        "embedded", lora=students.EMBEDDED_STUDENT, device="cpu", precision="fp32"
    )
    draw = importlib.import_module("seeded").draw
    inputs = torch.from_numpy(draw("sample", 1, 13, 4, 8, 8)), torch.tensor([500.0])
    tokens = torch.from_numpy(draw("tokens", 4, 50, expected.unet.config.cross_attention_dim))
    patched.patch_model(device_to=torch.device("cpu"))
    with torch.no_grad():
        found = patched.model.diffusion_model(*inputs, context=tokens)
        wanted = expected.unet(*inputs, tokens)
        plain = embedded.embedded_unet()(*inputs, tokens)
    patched.detach()
    change = float((plain - wanted).norm() / wanted.norm())
    assert change > 1e-3 and float((found - wanted).norm() / wanted.norm()) < 0.1 * change
    assert not native.patches  # the MODEL that came in stays as it was


def test_a_model_without_a_student_samples_as_fast_and_the_node_says_so(pack, narrow, caplog):
    native = modules(pack, "nodes.host.native_model").native_model(narrow.checkpoint(), torch.float32, "shared")
    with caplog.at_level(logging.WARNING):
        same, chosen = modules(pack, "nodes.sampling").preset_of(native, "turbo")
    assert same is native and "no student of this model" in caplog.text
    fast = modules(pack, "latentsync_core.presets").find_preset("fast")
    assert (chosen.steps, chosen.guidance, chosen.reuse) == (fast.steps, fast.guidance, fast.reuse)


def test_sigmas_of_a_student_start_at_the_noisiest_level(pack):
    found = modules(pack, "nodes.sampling").Sigmas.execute(4, "ddim-trailing").args[0]
    expected = modules(pack, "latentsync_core.diffusion").reference_sigmas(4, "ddim-trailing")
    assert torch.equal(found, expected) and float(found[0]) > 14
