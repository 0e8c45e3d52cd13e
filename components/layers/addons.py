"""What is used of tensorflow-addons, which is at its end of life: leaving it means rewriting this file alone."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # The end-of-life notice: known, and nothing a user could act on.
    from tensorflow_addons.image import dense_image_warp

__all__ = ["dense_image_warp"]
