"""TensorFlow Serving's REST API and metrics, for the embedded server."""
