"""Client, commands and embedded server of a pushed tagger."""

from faketagger.components.contract import startup

startup.quiet_logs()  # Here, as TensorFlow and gRPC read it when they are loaded.
