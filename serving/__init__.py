"""Client, command line and embedded server of a pushed tagger."""

import os

# TensorFlow and gRPC read these once, when they are loaded; their start-up chatter would drown a command's own line.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
