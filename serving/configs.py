"""TensorFlow Serving's configuration files: protocol buffers as text."""

from typing import TypeVar

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory, text_format
from tensorflow_serving.config import model_server_config_pb2

from faketagger.serving.rest.metrics import PATH

_Message = TypeVar("_Message", bound=message.Message)


class ConfigError(ValueError):
    """A file cannot be read as what it should be; the message names it."""


def read_models(path: str) -> model_server_config_pb2.ModelConfigList:
    """The models of a `--model_config_file`; ConfigError where it is no ModelServerConfig that lists models."""
    config = _read(path, model_server_config_pb2.ModelServerConfig())
    if not config.model_config_list.config:
        raise ConfigError(f"{path}: expected a ModelServerConfig with a model_config_list of at least one config")
    return config.model_config_list


def read_metrics_path(path: str) -> str:
    """Where a `--monitoring_config_file` wants the metrics, empty for nowhere; ConfigError where it is none."""
    told = _read(path, _monitoring_config()).prometheus_config  # type: ignore[attr-defined]
    if told.path and not told.path.startswith("/"):
        raise ConfigError(f"{path}: the path of prometheus_config begins with /, got {told.path}")
    return (told.path or PATH) if told.enable else ""


def _read(path: str, into: _Message) -> _Message:
    try:
        with open(path, encoding="utf-8") as file:
            return text_format.Parse(file.read(), into)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a {into.DESCRIPTOR.name} as text: {error}") from error


def _monitoring_config() -> message.Message:
    """An empty MonitoringConfig, which tensorflow-serving-api leaves out."""
    file = descriptor_pb2.FileDescriptorProto(name="monitoring_config.proto", syntax="proto3", package="monitoring")
    prometheus = file.message_type.add(name="PrometheusConfig")
    kinds = descriptor_pb2.FieldDescriptorProto
    prometheus.field.add(name="enable", number=1, type=kinds.TYPE_BOOL, label=kinds.LABEL_OPTIONAL)
    prometheus.field.add(name="path", number=2, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    whole = file.message_type.add(name="MonitoringConfig")
    whole.field.add(
        name="prometheus_config",
        number=1,
        type=kinds.TYPE_MESSAGE,
        label=kinds.LABEL_OPTIONAL,
        type_name=".monitoring.PrometheusConfig",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.MessageFactory(pool).GetPrototype(
        pool.FindMessageTypeByName("monitoring.MonitoringConfig")
    )()
