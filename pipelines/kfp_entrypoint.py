"""What open-source Kubeflow Pipelines 2.x starts in each step's container: TFX's own entry point, with artifact types.

Kubeflow hands a step its input artifacts without their types, which TFX needs. They are in the step's interface, which
is on the command line too.
"""

import json
import runpy
import sys
from typing import Any

_TFX_ENTRYPOINT = "tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor"
_INVOCATION = "--json_serialized_invocation_args"
_INTERFACE = "--json_serialized_inputs_spec_args"


def add_types(invocation: dict[str, Any], interface: dict[str, Any]) -> dict[str, Any]:
    """Gives each input artifact of an ExecutorInput the type that the step's ComponentInputsSpec states; both as JSON.

    Raises:
      ValueError: an input that the interface does not name.
    """
    declared = interface.get("artifacts", {})
    for name, listed in invocation.get("inputs", {}).get("artifacts", {}).items():
        if name not in declared:
            raise ValueError(f"input '{name}' is not in the step's interface: {', '.join(declared) or 'no inputs'}")
        for artifact in listed.get("artifacts", []):
            artifact["type"] = declared[name]["artifactType"]
    return invocation


def typed_arguments(arguments: list[str]) -> list[str]:
    """A container's arguments with the types filled in; ValueError when they are not what run_kubeflow.py compiled."""
    values = list(arguments)
    positions = {}
    for name in (_INVOCATION, _INTERFACE):
        if name not in values[:-1]:
            raise ValueError(f"{name} is missing: this is started by Kubeflow Pipelines, see run_kubeflow.py")
        positions[name] = values.index(name) + 1
    typed = add_types(json.loads(values[positions[_INVOCATION]]), json.loads(values[positions[_INTERFACE]]))
    values[positions[_INVOCATION]] = json.dumps(typed)
    return values


if __name__ == "__main__":
    sys.argv[1:] = typed_arguments(sys.argv[1:])
    runpy.run_module(_TFX_ENTRYPOINT, run_name="__main__", alter_sys=True)
