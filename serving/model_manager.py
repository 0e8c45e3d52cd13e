"""Keeps the wanted versions of the configured models loaded, as TensorFlow Serving does from its file system source."""

import dataclasses
import os
import threading
from collections.abc import Callable

import grpc
import tensorflow as tf
from absl import logging
from tensorflow_serving.apis import get_model_status_pb2, model_pb2
from tensorflow_serving.config import file_system_storage_path_source_pb2, model_server_config_pb2

from faketagger.components.contract import files
from faketagger.serving import limits
from faketagger.serving.servable import SAVED_MODEL_FILE, Servable, ServingError, invalid_argument

PLATFORM = "tensorflow"
MAX_VERSION = 2**63 - 1

_State = get_model_status_pb2.ModelVersionStatus
_VersionPolicy = file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy


@dataclasses.dataclass
class _Version:
    """What became of one version; `failed_as` is its files' fingerprint when it could not be loaded."""

    state: int
    servable: Servable | None = None
    error: ServingError | None = None
    failed_as: str | None = None


def complete_versions(base_path: str) -> dict[int, str]:
    """The directories under `base_path` named by a whole number that hold a saved_model.pb, by that number.

    A directory without the file is left out: it may be a push under way. `base_path` may be any that tf.io.gfile reads.

    Raises:
      tf.errors.OpError: the base path cannot be listed.
    """
    names = [name.rstrip("/") for name in tf.io.gfile.listdir(base_path)]
    numbers = {int(name): name for name in names if name.isascii() and name.isdigit() and int(name) <= MAX_VERSION}
    paths = {number: os.path.join(base_path, name) for number, name in numbers.items()}
    return {n: path for n, path in paths.items() if tf.io.gfile.exists(os.path.join(path, SAVED_MODEL_FILE))}


class ModelManager:
    """Loads, finds and unloads versions. Calls may come from any thread; loading happens in one at a time."""

    def __init__(
        self,
        poll_seconds: float = 1.0,
        on_poll: Callable[["ModelManager"], None] = lambda manager: None,
        most_pixels: int = limits.MAX_PIXELS,
    ):
        """`on_poll` is called after each look at the base paths; `most_pixels` is Servable's."""
        self._poll_seconds = poll_seconds
        self._most_pixels = most_pixels
        self._on_poll = on_poll
        self._configs: dict[str, model_server_config_pb2.ModelConfig] = {}
        self._versions: dict[str, dict[int, _Version]] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._reported: dict[str, str] = {}
        self._lock = threading.Lock()  # Guards the dictionaries, for moments.
        self._loading = threading.Lock()  # Held while versions are loaded, for as long as that takes.
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._poll_until_stopped, name="model-poll", daemon=True)

    def start(self, config: model_server_config_pb2.ModelConfigList) -> None:
        """Loads what there is, then goes on looking in a thread; a base path without versions is waited for.

        Raises:
          ServingError: a config that is refused, or a label on a version that cannot be loaded.
        """
        self._configs = _checked(config)
        self.poll()
        self._set_labels(self._configs)
        self._thread.start()

    def stop(self) -> None:
        """Stops looking and unloads everything."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._loading:
            self._configs = {}
            self._unload_models_not_configured()

    def reload(self, config: model_server_config_pb2.ModelConfigList) -> None:
        """Replaces the full set of models and returns when they are loaded.

        Raises:
          ServingError: a config that is refused, a new model without a loadable version, or a label on a version that
            is not available; all then stays as it was.
        """
        configs = _checked(config)
        with self._loading:
            trial = self._trial(configs)
            for each in configs.values():
                trial._update(each)
            lacking = sorted(name for name in configs if not trial.available(name) and self._is_new(configs[name]))
            if lacking:
                names = "".join(f"{{name: {name}}}, " for name in lacking)
                raise ServingError(grpc.StatusCode.UNKNOWN, f"Some models did not become available: {{{names}}}")
            trial._set_labels(configs)
            with self._lock:
                self._configs, self._versions, self._labels = trial._configs, trial._versions, trial._labels
            self._unload_models_not_configured()
        logging.info("reloaded: %s", ", ".join(f"{name} from {each.base_path}" for name, each in configs.items()))
        self._on_poll(self)

    def _trial(self, configs: dict[str, model_server_config_pb2.ModelConfig]) -> "ModelManager":
        """What another set of models is loaded into, beside what is served, which only then gives way to it."""
        trial = ModelManager(most_pixels=self._most_pixels)
        trial._configs = configs
        with self._lock:
            trial._versions = {name: dict(versions) for name, versions in self._versions.items()}
        for name in configs:
            if self._is_new(configs[name]):  # Versions from elsewhere are others, though of the same number.
                trial._versions.pop(name, None)
        return trial

    def _is_new(self, config: model_server_config_pb2.ModelConfig) -> bool:
        before = self._configs.get(config.name)
        return before is None or before.base_path != config.base_path

    def poll(self) -> None:
        """Looks at the base paths once; loads before it unloads, so that a model with a version keeps one."""
        with self._loading:
            for config in self._configs.values():
                self._update(config)
            self._unload_models_not_configured()
        self._on_poll(self)

    def find(self, spec: model_pb2.ModelSpec) -> tuple[int, Servable]:
        """The version that a request asks for, by number, by label or the latest; ServingError when there is none."""
        if not spec.name:
            raise invalid_argument("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        with self._lock:
            available = self._available(spec.name)
            if choice == "version":
                version = spec.version.value
            elif choice == "version_label":
                version = self._labels.get(spec.name, {}).get(spec.version_label)
                if version is None:
                    raise invalid_argument(f"Unrecognized servable version label: {spec.version_label}")
            else:
                version = max(available, default=None)
            if version not in available:
                asked = f"Specific({spec.name}, {version})" if choice else f"Latest({spec.name})"
                raise ServingError(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {asked}")
            return version, self._versions[spec.name][version].servable

    def statuses(self, name: str) -> dict[int, get_model_status_pb2.ModelVersionStatus]:
        """Every version of a model that there is or was, newest first."""
        with self._lock:
            versions = sorted(self._versions.get(name, {}).items(), reverse=True)
            return {number: _to_status(number, version) for number, version in versions}

    def available(self, name: str) -> set[int]:
        """The numbers of a model's versions that can be called now."""
        with self._lock:
            return self._available(name)

    def names(self) -> list[str]:
        """Of the models that are to be served."""
        return list(self._configs)

    def is_configured(self, name: str) -> bool:
        """Whether a model of that name is to be served."""
        return name in self._configs

    def base_path(self, name: str) -> str:
        """Where the versions of a model that is to be served are looked for."""
        return self._configs[name].base_path

    def ready(self) -> bool:
        """Whether every configured model has a version that can be called."""
        return all(self.available(name) for name in list(self._configs))

    def _available(self, name: str) -> set[int]:
        return {number for number, it in self._versions.get(name, {}).items() if it.state == _State.AVAILABLE}

    def _poll_until_stopped(self) -> None:
        while not self._stopping.wait(self._poll_seconds):
            try:
                self.poll()
            except Exception:  # A thread that ended here would silently never serve a new version again.
                logging.exception("looking for new versions failed; trying again")

    def _update(self, config: model_server_config_pb2.ModelConfig) -> None:
        name = config.name
        try:
            paths = complete_versions(config.base_path)
        except tf.errors.OpError as error:
            return self._report(name, f"{config.base_path}: cannot be listed: {error.message}")
        self._report(name, "" if paths else f"No versions of servable {name} found under base path {config.base_path}")
        loadable = {number for number, path in paths.items() if not self._failed_as_it_is(name, number, path)}
        while missing := wanted(config.model_version_policy, loadable) - self.available(name):
            newest = max(missing)
            if not self._load(name, newest, paths[newest]):
                loadable.discard(newest)
        # Where nothing that is there can be loaded, the version in memory goes on, even if its files are gone.
        if loadable or not paths:
            for number in self.available(name) - wanted(config.model_version_policy, loadable):
                self._unload(name, number)

    def _failed_as_it_is(self, name: str, number: int, path: str) -> bool:
        version = self._versions.get(name, {}).get(number)
        return bool(version and version.error) and version.failed_as == _fingerprint(path)

    def _load(self, name: str, number: int, path: str) -> bool:
        fingerprint = _fingerprint(path)
        previous = self._versions.get(name, {}).get(number)
        self._set(name, number, _Version(_State.LOADING))
        try:
            servable = Servable(path, self._most_pixels)
            warmed = servable.warm_up()
        except Exception as error:  # Broken files raise many kinds; all mean that this version cannot be served.
            failure = error if isinstance(error, ServingError) else _loading_error(error)
            if not (previous and previous.error and previous.error.message == failure.message):
                logging.error("%s version %d at %s cannot be loaded: %s", name, number, path, failure.message)
            self._set(name, number, _Version(_State.END, error=failure, failed_as=fingerprint))
            return False
        self._set(name, number, _Version(_State.AVAILABLE, servable))
        logging.info("%s version %d loaded from %s after %d warm-up requests", name, number, path, warmed)
        return True

    def _unload(self, name: str, number: int) -> None:
        # Calls under way hold the servable themselves; it is freed when the last of them is answered.
        self._set(name, number, _Version(_State.END))
        logging.info("%s version %d unloaded", name, number)

    def _unload_models_not_configured(self) -> None:
        for name in set(self._versions) - set(self._configs):
            for number in self.available(name):
                self._unload(name, number)
            with self._lock:
                self._labels.pop(name, None)

    def _set(self, name: str, number: int, version: _Version) -> None:
        with self._lock:
            self._versions.setdefault(name, {})[number] = version

    def _set_labels(self, configs: dict[str, model_server_config_pb2.ModelConfig]) -> None:
        labels = {name: dict(config.version_labels) for name, config in configs.items()}
        with self._lock:
            for name, versions in labels.items():
                for number in set(versions.values()) - self._available(name):
                    message = f"Request to assign label to version {number} of model {name}, "
                    message += "which is not currently available for inference"
                    raise ServingError(grpc.StatusCode.FAILED_PRECONDITION, message)
            self._labels = labels

    def _report(self, name: str, trouble: str) -> None:
        if trouble and self._reported.get(name) != trouble:
            logging.warning("%s", trouble)
        self._reported[name] = trouble


def _checked(config: model_server_config_pb2.ModelConfigList) -> dict[str, model_server_config_pb2.ModelConfig]:
    configs = {}
    for model in config.config:
        if model.name in configs:
            raise invalid_argument(f"Illegal to list model {model.name} multiple times in config list")
        if not model.name:
            raise invalid_argument("A model in the config list has no name")
        if model.model_platform != PLATFORM:
            platform = model.model_platform or "none"
            raise invalid_argument(f"Model {model.name} requests unsupported platform {platform}; use '{PLATFORM}'")
        if not (os.path.isabs(model.base_path) or "://" in model.base_path):
            wanted = "to have an absolute path or URI; got base_path()="
            raise invalid_argument(f"Expected model {model.name} {wanted}{model.base_path}")
        configs[model.name] = model
    return configs


def wanted(policy: _VersionPolicy, loadable: set[int]) -> set[int]:
    """The versions that a policy wants, of those that can be loaded."""
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return set(loadable)
    if choice == "specific":
        return loadable & set(policy.specific.versions)
    return set(sorted(loadable, reverse=True)[: policy.latest.num_versions or 1])


def _fingerprint(path: str) -> str:
    """Changes with the directory's files: tells a mended version from a broken one."""
    try:
        return files.directory_fingerprint(path)
    except tf.errors.OpError:
        return ""  # A file went while it was looked at: unlike the next look, which is enough.


def _loading_error(error: Exception) -> ServingError:
    return ServingError(grpc.StatusCode.UNKNOWN, f"{type(error).__name__}: {error}")


def _to_status(number: int, version: _Version) -> get_model_status_pb2.ModelVersionStatus:
    status = get_model_status_pb2.ModelVersionStatus(version=number, state=version.state)
    status.status.SetInParent()
    if version.error:
        status.status.error_code = version.error.code.value[0]
        status.status.error_message = version.error.message
    return status
