import importlib.util, os, sys
from pathlib import Path
import pytest
@pytest.fixture(scope="session")
def pack(tmp_path_factory):
    if not os.environ.get("COMFYUI_PATH"): pytest.skip("COMFYUI_PATH names no ComfyUI checkout")
    argv=sys.argv; sys.argv=["x","--cpu","--base-directory",str(tmp_path_factory.mktemp("base"))]
    sys.path.insert(0,os.environ["COMFYUI_PATH"])
    import comfy.options; comfy.options.enable_args_parsing()
    from comfy.cli_args import args
    args.cpu=True
    sys.argv=argv
    root=Path(__file__).parents[2]
    spec=importlib.util.spec_from_file_location("latentsync",root/"__init__.py",submodule_search_locations=[str(root)])
    m=importlib.util.module_from_spec(spec); sys.modules["latentsync"]=m; spec.loader.exec_module(m)
    return m
