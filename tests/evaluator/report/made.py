"""Evaluations as the report reads them, made for its tests."""

from faketagger.components.evaluator.report.tables.comparisons import Comparison
from faketagger.components.evaluator.verdict.record import Evaluation, Figure

UNKNOWN = Figure(mean=None, low=None, high=None)


def figure(mean, margin=0.02, highest=1.0):
    return Figure(mean=mean, low=max(0.0, mean - margin), high=min(highest, mean + margin))


def slice(kind, name, family, black_box, fmrr, psnr=20.0, strength_value=None):
    simulator, _, condition = name.partition("/")
    is_plain = kind == "plain"
    return {
        "kind": kind,
        "simulator": None if is_plain else simulator,
        "condition": None if is_plain else condition,
        "family": family,
        "black_box": black_box,
        "strength_value": strength_value,
        "pictures": 50,
        "not_finite": 0,
        "fmrr": figure(fmrr),
        "bit_accuracy": figure(0.9),
        "tpr": figure(0.8),
        "change_psnr": None if is_plain else figure(psnr, 0.5, 100.0),
        "change_ssim": None if is_plain else figure(0.7),
    }


def evaluation(fmrr=0.9, changes=None, slices=None, **tagger):
    """An evaluation with every kind of slice; FMRR is `fmrr` everywhere.

    `changes` are other fields of the record, `slices` fields of some slices by name: None takes a slice away.
    """
    named = {
        "plain": ("plain", None, None),
        "stargan/happy": ("condition", "attribute_editing", False),
        "stargan/young": ("condition", "attribute_editing", False),
        "stgan/happy": ("condition", "attribute_editing", True),
        "perturbation/jpeg_75": ("condition", "perturbation", False),
        "stargan/happy+jpeg_75": ("after", "attribute_editing", False),
    }
    found = {name: slice(kind, name, family, box, fmrr) for name, (kind, family, box) in named.items()}
    for at in (10.0, 95.0, 30.0):
        found[f"jpeg/{at:g}"] = slice("sweep", f"jpeg/{at:g}", "perturbation", False, fmrr, 30.0, at)
    for name, fields in (slices or {}).items():
        found[name] = fields and {**found.get(name, {}), **fields}
    described = {"message_bits": 30, "code_bits": 121, "image_size": 64, "strength": 1.0, "level": "early"}
    values = {
        "confidence": 0.95,
        "repeats": 2,
        "seed": 0,
        "image_size": 64,
        "label": "30 bits in 121",
        "tagger": {**described, "false_positive_rate": 1e-6, **tagger},
        "quality": {
            "pictures": 50,
            "not_finite": 0,
            "psnr": figure(31.0, 0.1, 100.0),
            "ssim": figure(0.95),
            "ms_ssim": figure(0.97),
            "lpips": UNKNOWN,
        },
        "untagged": {"pictures": 50, "not_finite": 0, "false_positives": 0, "share": figure(0.0, 0.07)},
        "overall": {"white": figure(fmrr), "black": figure(fmrr)},
        "overall_tpr": {"white": None, "black": None},
        "slices": {name: fields for name, fields in found.items() if fields},
    }
    return Evaluation.from_values({**values, **(changes or {})})


def baseline(fmrr=0.5, label="DWT-DCT", slices=None, **changes):
    return Comparison(label, evaluation(fmrr, changes, slices, strength=None, level=None))
