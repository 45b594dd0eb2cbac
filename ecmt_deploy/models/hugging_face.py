"""``hf:NAME_OR_DIR``: models of `transformers`, from a directory of ``save_pretrained`` or a repository of the hub.

No code of theirs is run (``trust_remote_code`` is off), and weights are safetensors alone. The class is the one that the
configuration names where it is a classifier or gives features; for any other head it is the model without that head.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ecmt_deploy.errors import ModelError, listed, plural, reading
from ecmt_deploy.models import hf_files
from ecmt_deploy.models import weights as weight_files
from ecmt_deploy.models.build import input_size
from ecmt_deploy.models.hf_preprocessing import preprocessing_given, preprocessing_of_processor
from ecmt_deploy.models.hf_text import POOLINGS, Pooled, takes_type_ids, text_preprocessing
from ecmt_deploy.models.model import Model
from ecmt_deploy.program.preprocessing import Preprocessing

_logger = logging.getLogger(__name__)

PREFIX = "hf:"
#: classes that answer with what a program is made for; of any other the model without its head is taken
_MEANT = re.compile(
    r"\w+For(Image|Sequence)Classification(WithTeacher)?|\w+ForSemanticSegmentation|\w+(?<!LMHead)Model(WithProjection)?"
)
_PLACEHOLDER = re.compile(r"LABEL_\d+")
_MEND = "save the model again with save_pretrained, or check MODEL and --model-arg"


def load(name: str, args: Mapping[str, Any], overrides: Mapping[str, Any], output: str | None) -> Model:
    """Load a model of `transformers` with its weights, and what a program should remember of it.

    Parameters
    ----------
    name
        ``hf:DIR`` or ``hf:OWNER/NAME``.
    args
        ``architecture`` (a class of `transformers`), ``revision`` (of a repository), ``pooling`` (``mean`` or ``first``: the
        answer is one vector of a sentence), arguments of the class, and fields of its configuration.
    overrides
        Fields of the preprocessing that the user says, ``input_size`` among them: pixels, or tokens of a model of text.
    output
        The name of the tensor that is meant where it answers with several.

    Raises
    ------
    ModelError
        If `transformers` is missing, or anything of the directory is missing, damaged, or does not belong together.
    """
    try:
        import transformers
    except ImportError as error:
        raise ModelError(f"{name}: needs transformers; pip install 'ecmt-deploy[transformers]'") from error
    given, rest = dict(args), dict(overrides)
    architecture, revision, pooling = (given.pop(key, None) for key in ("architecture", "revision", "pooling"))
    found = hf_files.find(name, name.removeprefix(PREFIX), None if revision is None else str(revision))
    asked = rest.pop("input_size", None)
    with _quiet():
        cls = _class(found, transformers, architecture)
        config, options = _configuration(found, transformers, cls, given)
        module = _module(found, cls, config, options)
        known: dict[str, Any] = {
            "name": name, "weights_sha256": weight_files.sha256(module), "model_args": dict(args),
            "class_names": _class_names(config),
        }  # fmt: skip
        kind = str(getattr(module, "main_input_name", ""))
        if kind == "pixel_values" and pooling is None:
            described, origin = _of_images(found, transformers, config, input_size(asked), rest)
            outputs = _count_outputs(name, module, described, output)
            return Model(module=module, preprocessing=described, preprocessing_origin=origin, n_outputs=outputs, **known)
        if kind == "input_ids":
            text = text_preprocessing(found, transformers, module, _tokens(name, asked, rest))
    if kind != "input_ids":
        what = "pooling, which is of models of text" if pooling is not None else f"{kind or 'inputs of no name'}"
        raise ModelError(f"{name}: {type(module).__name__} takes {what}; expected a model of images or text")
    if pooling is not None and pooling not in POOLINGS:
        raise ModelError(f"{name}: --model-arg pooling={pooling}; expected {' or '.join(POOLINGS)}")
    classifies = pooling is None and type(module).__name__.endswith("ForSequenceClassification")
    return Model(
        module=module if pooling is None else Pooled(module, pooling),
        preprocessing=None,
        preprocessing_origin={} if asked is None else {"length": "given"},
        n_outputs=int(config.num_labels) if classifies else None,
        text=text,
        type_ids=takes_type_ids(module),
        **known,
    )


def _tokens(name: str, asked: Any, others: Mapping[str, Any]) -> int | None:
    """``--input-size`` of a model of text: tokens."""
    if others:
        raise ModelError(f"{name}: takes text; --{next(iter(others)).replace('_', '-')} is for images")
    if asked is None:
        return None
    size = [asked] if isinstance(asked, int) else list(asked)
    if len(size) != 1 or not isinstance(size[0], int) or size[0] < 1:
        raise ModelError(f"{name}: takes text; --input-size {' '.join(map(str, size))}: expected one number of tokens")
    return int(size[0])


def _class(found: hf_files.Directory, transformers: Any, asked: str | None) -> Any:
    """The class to build: the one that is asked for or that the configuration names, or the model without its head."""
    named = found.config.get("architectures")
    first = asked or (named[0] if isinstance(named, list) and named else None)
    if isinstance(first, str) and (asked or _MEANT.fullmatch(first)):
        cls = getattr(transformers, first, None) if first.isidentifier() else None
        if isinstance(cls, type) and issubclass(cls, transformers.PreTrainedModel):
            return cls
        if asked:
            raise ModelError(f"{found.name}: --model-arg architecture={asked} is no model of transformers")
    return transformers.AutoModel


def _configuration(
    found: hf_files.Directory, transformers: Any, cls: Any, args: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """The configuration with what the user says of its fields, and the arguments that are the class's own."""
    source = transformers.AutoConfig if cls is transformers.AutoModel else cls.config_class
    with reading(ModelError, f"{found.name}: config.json describes no model that transformers knows", _MEND):
        config = source.from_pretrained(found.path, trust_remote_code=False, local_files_only=True)
    if cls is transformers.AutoModel:
        with reading(ModelError, f"{found.name}: {type(config).__name__} has no model of features", _MEND):
            cls = transformers.MODEL_MAPPING[type(config)]
    takes = inspect.signature(cls).parameters
    rest = {}
    for key, value in args.items():
        if hasattr(config, key):
            with reading(ModelError, f"{found.name}: --model-arg {key}={value}", "give a value that the field takes"):
                setattr(config, key, value)
        elif key in takes:
            rest[key] = value
        else:
            raise ModelError(f"{found.name}: --model-arg {key} is no field of {type(config).__name__}")
    if hasattr(config, "use_cache"):
        config.use_cache = False  # keys and values of former calls are no answer
    return config, rest


def _module(found: hf_files.Directory, cls: Any, config: Any, args: Mapping[str, Any]) -> nn.Module:
    """The model in float32 and eval mode, every parameter from the weights."""
    what = f"{found.name}: {getattr(cls, '__name__', 'the model')} cannot be built"
    build = cls._from_config if hasattr(cls, "_from_config") else cls.from_config
    options = {"attn_implementation": "eager", "dtype": torch.float32}
    with reading(ModelError, what, _MEND), torch.device("meta"):  # takes no memory, whatever the configuration asks for
        sketch = build(config, **options)
    hf_files.require_fit(found, sum(parameter.numel() for parameter in sketch.parameters()))
    with reading(ModelError, what, _MEND):
        module, report = cls.from_pretrained(
            found.path, config=config, use_safetensors=True, trust_remote_code=False, local_files_only=True,
            output_loading_info=True, **options, **args,
        )  # fmt: skip
    missing, misshapen = sorted(map(str, report["missing_keys"])), sorted(str(entry) for entry in report["mismatched_keys"])
    if missing and all("pooler." in key for key in missing) and "add_pooling_layer" not in args and _may_lack_pooler(module):
        _logger.warning("%s: its weights have no pooler; the model is built without one", found.name)
        return _module(found, type(module), config, {**args, "add_pooling_layer": False})
    if missing or misshapen:
        kind = "missing" if missing else "of another shape"
        raise ModelError(
            f"{found.name}: {plural(len(missing or misshapen), 'weight')} of {type(module).__name__} {kind}"
            f" ({listed(missing or misshapen, 3)}); they would be random; {_MEND}"
        )
    for key, value in module.state_dict().items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise ModelError(f"{found.name}: {key} holds NaN or infinity; these weights cannot be used")
    return module.float().eval()


def _may_lack_pooler(module: nn.Module) -> bool:
    return "add_pooling_layer" in inspect.signature(type(module)).parameters


def _of_images(
    found: hf_files.Directory, transformers: Any, config: Any, size: tuple[int, ...] | None, overrides: Mapping[str, Any]
) -> tuple[Preprocessing, dict[str, str]]:
    """Preprocessing by the model's own processor, and what the user says; who said each field."""
    channels = int(getattr(config, "num_channels", 3))
    if size is not None and len(size) == 3:
        if size[0] != channels:
            raise ModelError(f"{found.name}: --input-size has {size[0]} channels, the model takes {channels}")
        size = size[1:]
    made = None
    has_own = any((found.path / file).is_file() for file in ("preprocessor_config.json", "processor_config.json"))
    if has_own and not {"mean", "std"} <= set(overrides):
        with reading(ModelError, f"{found.name}: its image processor cannot be read", "give --mean and --std"):
            processor = transformers.AutoImageProcessor.from_pretrained(
                found.path, backend="pil", trust_remote_code=False, local_files_only=True
            )
        made = preprocessing_of_processor(found.name, processor, channels)
    elif size is None:
        edge = getattr(config, "image_size", None)
        size = (edge, edge) if isinstance(edge, int) else tuple(edge) if isinstance(edge, list | tuple) else None
    return preprocessing_given(found.name, made, channels, size, overrides)


def _class_names(config: Any) -> tuple[str, ...] | None:
    """Names of the outputs of a classifier, where the configuration has any but placeholders; of a model of features none."""
    labels = getattr(config, "id2label", None) or {}
    names = [str(labels.get(i, "")) for i in range(len(labels))]
    return None if not all(names) or any(map(_PLACEHOLDER.fullmatch, names)) else tuple(names)


def _count_outputs(name: str, module: nn.Module, described: Preprocessing, output: str | None) -> int:
    """Length of the last axis of the tensor that is meant, from inferences on zeros."""
    from ecmt_deploy.conversion.calling import called

    zeros = torch.zeros(1, *described.input_size)
    with reading(ModelError, f"{name}: does not run on its own input size", _MEND):
        answer = called(module, zeros, output=output)(zeros)
    return int(answer.shape[-1])


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars and advice of `transformers`; what goes wrong is an error."""
    from transformers.utils import logging as theirs

    level, bars = theirs.get_verbosity(), theirs.is_progress_bar_enabled()
    theirs.set_verbosity_error()
    theirs.disable_progress_bar()
    try:
        yield
    finally:
        theirs.set_verbosity(level)
        if bars:
            theirs.enable_progress_bar()
