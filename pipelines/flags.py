"""The flags that say what the pipeline shall do: the same for every runner."""

from absl import flags

from faketagger.components.contract import files, manifest
from faketagger.components.evaluator.config import simulator_of
from faketagger.components.simulator.generators.registry import GENERATORS
from faketagger.pipelines import overrides, presets
from faketagger.pipelines.config import PipelineConfig

FLAGS = flags.FLAGS
flags.DEFINE_enum("preset", "demo", sorted(presets.PRESETS), "which settings to start from")
flags.DEFINE_string("dataset", None, "procedural_faces, celeb_a_hq/256, or another TFDS data set of pictures")
flags.DEFINE_string("manual_dir", None, "where TFDS finds archives it may not download (CelebA-HQ's)")
flags.DEFINE_string("images", None, "a folder of photographs, with an optional attributes.csv, instead of a data set")
flags.DEFINE_bool("align", None, "cut photographs to the squares around their faces, where they are not aligned yet")
flags.DEFINE_string("simulators", None, "a directory of simulator SavedModels to use instead of the preset's")
flags.DEFINE_bool("train_simulators", False, "train simulators anew instead of taking the shipped ones")
flags.DEFINE_float("max_rejected", None, "the largest share of unreadable pictures that is tolerated")
flags.DEFINE_multi_string("set", [], "section.field=value: changes one setting, e.g. tagger.steps=8000")
flags.DEFINE_multi_string("beam_args", [], "an option for Beam's runner, e.g. --beam_args=--direct_num_workers=2")


def configure() -> PipelineConfig:
    """The preset with what the flags change in it; ValueError for a --set that does not fit, or for two simulators'."""
    changed = {
        "dataset": FLAGS.dataset,
        "images": FLAGS.images and files.absolute(FLAGS.images),
        "manual_dir": FLAGS.manual_dir and files.absolute(FLAGS.manual_dir),
        "foreign_simulators": FLAGS.simulators and files.absolute(FLAGS.simulators),
        "max_rejected": FLAGS.max_rejected,
        "align": FLAGS.align,
    }
    config = presets.PRESETS[FLAGS.preset]()
    config = config.replace(**{name: value for name, value in changed.items() if value is not None})
    if FLAGS.simulators and FLAGS.train_simulators:
        raise ValueError("--simulators takes those of a directory, --train_simulators trains others: say one of them")
    if FLAGS.simulators:
        config = _for_foreign_simulators(config)
    elif FLAGS.train_simulators:
        config = _with_simulators_trained_anew(config)
    return overrides.apply(config, FLAGS.set)


def _for_foreign_simulators(config: PipelineConfig) -> PipelineConfig:
    """What a preset says of its own simulators by name means nothing for others: all train, all are gated alike.

    What it says of perturbations stays: they are there whatever the simulators are.
    """
    gate = config.evaluator.gate
    perturbations = (manifest.PERTURBATION, manifest.UNSEEN)
    gate = gate.replace(
        fmrr_overrides={},
        ungated=tuple(name for name in gate.ungated if simulator_of(name) in perturbations),
        # With all of them in the loop there is no black-box mean, and a figure that is missing fails its check.
        min_overall={box: least for box, least in gate.min_overall.items() if box != "black"},
    )
    return config.replace(
        tagger=config.tagger.replace(black_box=()),
        evaluator=config.evaluator.replace(black_box=(), gate=gate),
    )


def _with_simulators_trained_anew(config: PipelineConfig) -> PipelineConfig:
    """A shipped simulator that bears its generator's name gives way to one trained here; variants stay as they are."""
    simulator = config.simulator
    anew = tuple(name for name in simulator.shipped if name in GENERATORS)
    stay = tuple(name for name in simulator.shipped if name not in GENERATORS)
    train = tuple(dict.fromkeys((*simulator.train, *anew)))
    return config.replace(simulator=simulator.replace(train=train, shipped=stay))
