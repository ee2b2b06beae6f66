"""Everything that knows ComfyUI's inside: no other folder imports comfy.* or folder_paths.

Nodes import from here; the library never does. What differs between host versions is decided here and nowhere else.
"""
