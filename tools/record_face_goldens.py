"""Record the outputs of the original face networks and of MediaPipe itself, for the tests in tests/faces.

pip install ai-edge-litert
python tools/record_face_goldens.py networks mediapipe-0.10.21-*.whl tests/golden/face_nets.npz

pip install mediapipe==0.10.21 "numpy<2"     # in an environment of its own
python tools/record_face_goldens.py portrait tests/faces/astronaut.jpg tests/golden/astronaut_mesh.npz
"""

import argparse
import zipfile
from pathlib import Path

import numpy as np

NETWORKS = {  # name in the golden file: (file below mediapipe/modules, input side in pixels)
    "full_range": ("face_detection/face_detection_full_range_sparse.tflite", 192),
    "short_range": ("face_detection/face_detection_short_range.tflite", 128),
    "mesh": ("face_landmark/face_landmark.tflite", 192),
}
KEPT_EVERY = {"full_range": 23, "short_range": 9, "mesh": 1}  # rows stored: enough to see any slip, a few KB each


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("networks", "portrait"))
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    record = network_outputs if arguments.what == "networks" else portrait_answers
    np.savez_compressed(arguments.target, **record(arguments.source))
    print(f"{arguments.target}: {arguments.target.stat().st_size / 1e3:.1f} KB")


def network_outputs(wheel: Path) -> dict[str, np.ndarray]:
    """Outputs of the three .tflite files for half a unit of seeded noise, every few rows of them."""
    from seeded import draw

    arrays = {}
    for name, (member, size) in NETWORKS.items():
        points, logits = run_tflite(wheel, member, 0.5 * draw(f"face.{name}", 1, size, size, 3))
        arrays[f"{name}.numbers"] = points.reshape(-1, 3 if name == "mesh" else 16)[:: KEPT_EVERY[name]]
        arrays[f"{name}.logits"] = logits.ravel()[:: KEPT_EVERY[name]]
    return arrays


def run_tflite(wheel: Path, member: str, picture: np.ndarray) -> list[np.ndarray]:
    """Outputs of a .tflite file inside the wheel for one picture (1, size, size, 3)."""
    from ai_edge_litert.interpreter import Interpreter

    with zipfile.ZipFile(wheel) as archive:
        interpreter = Interpreter(model_content=archive.read(f"mediapipe/modules/{member}"))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture)
    interpreter.invoke()
    return [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]


def portrait_answers(picture: Path) -> dict[str, np.ndarray]:
    """MediaPipe's own detections (both models) and mesh for a portrait, in pixels."""
    import mediapipe
    from PIL import Image

    image = np.asarray(Image.open(picture).convert("RGB"))
    size = np.array([image.shape[1], image.shape[0]])
    arrays = {}
    for model, name in enumerate(("short_range", "full_range")):
        with mediapipe.solutions.face_detection.FaceDetection(0.5, model) as detector:
            (face,) = detector.process(image).detections
        box, points = face.location_data.relative_bounding_box, face.location_data.relative_keypoints
        corners = np.array([[box.xmin, box.ymin], [box.xmin + box.width, box.ymin + box.height]]) * size
        arrays[f"{name}.box"] = corners.ravel()
        arrays[f"{name}.keypoints"] = np.array([[p.x, p.y] for p in points]) * size
        arrays[f"{name}.score"] = np.array(face.score[0])
    with mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=1) as fitter:
        (mesh,) = fitter.process(image).multi_face_landmarks
    arrays["mesh"] = np.array([[p.x * size[0], p.y * size[1], p.z * size[0]] for p in mesh.landmark])
    return {key: value.astype(np.float32) for key, value in arrays.items()}


if __name__ == "__main__":
    main()
