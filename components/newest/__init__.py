"""The step that looks up the newest blessed tagger where TFX's resolvers do not run: on Kubeflow."""
