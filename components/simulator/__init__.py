"""What stands for the deepfake: generators, their training, export and checking."""
