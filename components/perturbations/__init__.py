"""What happens to pictures on their way: the `perturbation` family."""
