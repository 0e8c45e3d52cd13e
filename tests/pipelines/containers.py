"""Runs the container steps of a compiled pipeline one after the other, as a cluster would start them."""

import json
import os
import subprocess
import sys

from PIL import Image

from faketagger.components.example_gen import face_drawing
from faketagger.pipelines import overrides, presets


def of_steps(spec):
    """The container of each step of a PipelineSpec."""
    executors = spec["deploymentSpec"]["executors"]
    of_each = {name: executors[component["executorLabel"]] for name, component in spec["components"].items()}
    return {name: executor["container"] for name, executor in of_each.items() if "container" in executor}


def shrunken(folder):
    """The smoke preset on 40 pictures in `folder`, with a decoder that is said to read from the start."""
    os.makedirs(folder)
    for index in range(40):
        face = face_drawing.draw(face_drawing.sample_traits(1, index), 32)
        Image.fromarray(face).save(os.path.join(folder, f"{index}.png"))
    settings = [f"images={folder}", "eval_percent=20", "simulator.train=[]", "tagger.steps=5", "tagger.reads_below=9.0"]
    return overrides.apply(presets.smoke(), settings)


def run_steps(spec, folder, typed, image=None):
    """Runs the steps in their order; the output artifacts of each.

    Args:
      spec: the PipelineSpec.
      folder: where artifacts go.
      typed: whether the cluster tells artifacts' types, and parameters as Vertex does; Kubeflow does not.
      image: a dockerfile.Image whose Python, environment and command they run in; by default this one's.
    """
    made = {}
    for name in _in_order(spec):
        container = of_steps(spec)[name]
        invocation = _invocation(spec, name, made, folder, typed)
        arguments = [json.dumps(invocation) if each == "{{$}}" else each for each in container["args"]]
        command = [*(container.get("command") or image.command), *arguments]
        assert command[0] == "python"
        python = sys.executable if image is None else str(image.python)
        environment = None if image is None else image.environment
        done = subprocess.run(
            [python, *command[1:]], cwd=folder, env=environment, capture_output=True, text=True, timeout=2400
        )
        assert done.returncode == 0, f"{name}: {done.stderr[-3000:]}"
        with open(invocation["outputs"]["outputFile"], encoding="utf-8") as file:
            made[name] = json.load(file)["artifacts"]
    return made


def _in_order(spec):
    """The steps that are containers, each after those that it depends on."""
    tasks, containers, order = spec["root"]["dag"]["tasks"], of_steps(spec), []
    waiting = [name for name in tasks if name in containers]
    while waiting:
        ready = next(name for name in waiting if not set(tasks[name].get("dependentTasks", [])) & set(waiting))
        waiting.remove(ready)
        order.append(ready)
    return order


def _invocation(spec, name, made, folder, typed):
    """The ExecutorInput that a cluster would put in place of {{$}}."""
    component, task = spec["components"][name], spec["root"]["dag"]["tasks"][name]
    parameters = task["inputs"].get("parameters", {})
    artifacts = {}
    for key, source in task["inputs"].get("artifacts", {}).items():
        output = source["taskOutputArtifact"]
        if output["producerTask"] not in made:  # A resolver, which finds nothing in a first run.
            continue
        (artifact,) = made[output["producerTask"]][output["outputArtifactKey"]]["artifacts"]
        artifact = {**artifact, "name": f"{len(made)}{key}"}
        if typed:
            artifact["type"] = component["inputDefinitions"]["artifacts"][key]["artifactType"]
        artifacts[key] = {"artifacts": [artifact]}
    outputs = {
        key: {"artifacts": [{"name": key, "uri": f"{folder}/{name}/{key}", "type": output["artifactType"]}]}
        for key, output in component["outputDefinitions"]["artifacts"].items()
    }
    inputs = {"artifacts": artifacts}
    if typed:
        inputs["parameters"] = {key: value["runtimeValue"]["constantValue"] for key, value in parameters.items()}
    else:
        inputs["parameterValues"] = {key: value["runtimeValue"]["constant"] for key, value in parameters.items()}
    return {"inputs": inputs, "outputs": {"artifacts": outputs, "outputFile": f"{folder}/{name}/executor_output.json"}}
