"""The model card of a shipped simulator, in Markdown."""

from faketagger.components.contract import manifest
from faketagger.components.simulator.packing import samples
from faketagger.components.simulator.quality.assess import MIN_EDITED, PHOTOGRAPHS

FILE = "README.md"
_MARK = "(not shown)"
_LEGEND = f"{_MARK}: changes the picture without showing the attribute (edit seen − seen unedited < {MIN_EDITED:g})."


def write(described: manifest.SimulatorManifest, pictures: int, size_bytes: int, shown: bool = False) -> str:
    """The card.

    Args:
      described: the manifest, assessed.
      pictures: how many eval pictures it was assessed on.
      size_bytes: of its weights on disk.
      shown: whether its sheet shows pictures of other Examples than those it was trained and assessed on.
    """
    trained = described.training
    minutes = trained.seconds_a_step * trained.steps / 60.0
    settings = trained.settings.items()
    shape = ", ".join(
        f"{name} {value}" for name, value in settings if name not in ("attributes", "intensities", "offered")
    )
    lines = [
        f"# {described.name}",
        "",
        f"{described.family.replace('_', ' ').capitalize()} by our `{trained.generator}` ({shape}): "
        f"{trained.parameters:,} parameters, {size_bytes / 1e6:.1f} MB on disk.",
        "",
        f"- Data: {described.training_data}.",
        f"- Command: `{_command(described, shown)}`; {minutes:.0f} minutes of training.",
        f"- Licence: {described.licence}.",
        f"- Measured on {pictures} eval pictures, 8-bit: PSNR and SSIM of output and input, lower is more change.",
        "",
        *_table(described),
        "",
        f"![Inputs in the first row, each condition below]({samples.FILE})",
    ]
    return "\n".join(lines) + "\n"


def _command(described: manifest.SimulatorManifest, shown: bool) -> str:
    trained = described.training
    settings = {
        "generator": trained.generator,
        "name": described.name,
        "image_size": described.image_size,
        "width": trained.settings["width"],
        **{name: getattr(trained, name) for name in ("depth", "steps", "batch_size", "learning_rate")},
        **{
            name: getattr(trained, name)
            for name in ("judge_steps", "guide_steps", "seed", "zoom", "critic", "change", "bfloat16")
        },
        "attention": trained.settings.get("attention"),
        "data": '"TEXT"',
        "licence": '"TEXT"',
        "examples": "DIR",
        "shown": "OTHER_DIR" if shown else None,
        "out": "pretrained/simulators",
    }
    flags = " ".join(f"--{name}={value}" for name, value in settings.items() if value is not None)
    return f"faketagger simulators {flags}"


def _table(described: manifest.SimulatorManifest) -> list[str]:
    columns = ["condition", "PSNR dB", "SSIM", "in the face: PSNR dB", "SSIM"]
    if described.success:
        columns += ["edit seen", "seen unedited", "intensity"]
    if described.realism:
        columns += ["KID to photographs"]
    lines = ["| " + " | ".join(columns) + " |", "|---" + "|---:" * (len(columns) - 1) + "|"]
    lines += ["| " + " | ".join(_row(described, name)) + " |" for name in described.ways]
    if any(_is_not_shown(described, name) for name in described.ways):
        lines += ["", _LEGEND]
    if described.realism:
        lines += [
            "",
            f"Two halves of the photographs are at KID {described.realism[PHOTOGRAPHS]['kid']:.4f} of each other.",
        ]
    return lines


def _intensities(described: manifest.SimulatorManifest) -> dict[str, float]:
    """By condition, as `offered` has the same order as the conditions."""
    settings = described.training.settings
    by_attribute = dict(zip(settings["attributes"], settings["intensities"]))
    offered = settings.get("offered", settings["attributes"])
    return {condition: by_attribute[attribute] for condition, attribute in zip(described.conditions, offered)}


def _is_not_shown(described: manifest.SimulatorManifest, condition: str) -> bool:
    """Whether an edit was measured and the judge sees it hardly more often than in the pictures as they were."""
    found = described.success.get(condition)
    return found is not None and found["seen"] - found["unedited"] < MIN_EDITED


def _row(described: manifest.SimulatorManifest, condition: str) -> list[str]:
    change = described.change[condition]
    digits = {"psnr": 1, "ssim": 3, "face_psnr": 1, "face_ssim": 3}
    marked = f"{condition} {_MARK}" if _is_not_shown(described, condition) else condition
    cells = [marked, *(f"{getattr(change, name):.{count}f}" for name, count in digits.items())]
    if described.success:
        found: dict[str, float] = described.success.get(condition, {})
        cells += [f"{found[name]:.2f}" if found else "-" for name in ("seen", "unedited")]
        intensities = _intensities(described)
        cells += [f"{intensities[condition]:g}" if condition in intensities else "-"]
    if described.realism:
        cells += [f"{described.realism[condition]['kid']:.4f}"]
    return cells
