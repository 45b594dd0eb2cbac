"""Tokenizers of `transformers` as our preprocessing of text, and what is done with the vectors of the tokens."""

from __future__ import annotations

import json
from typing import Any

from torch import Tensor, nn

from ecmt_deploy.data.tokenizing import damaged_tokenizer
from ecmt_deploy.errors import EcmtError, ModelError
from ecmt_deploy.models.hf_files import Directory
from ecmt_deploy.program.text import MOST_CHARACTERS, MOST_TOKENS, TextPreprocessing

#: files that hold a vocabulary; without any, transformers makes up a tokenizer that knows no word
_VOCABULARIES = ("tokenizer.json", "vocab.*", "*.model", "*.vocab")
_MEND = "save the model's tokenizer beside it with save_pretrained"
POOLINGS = ("mean", "first")


def text_preprocessing(found: Directory, transformers: Any, module: nn.Module, length: int | None) -> TextPreprocessing:
    """What a model's own tokenizer does, in our words.

    Parameters
    ----------
    found
        The model's directory.
    transformers
        The library.
    module
        The model; its configuration says how many ids and positions there are. Where it knows no id of padding, it gets the
        tokenizer's, which it needs to find where a sentence ends.
    length
        Tokens of a sample where the user says so; otherwise the model's largest number.

    Raises
    ------
    ModelError
        If there is no tokenizer, it is damaged, has no fast form, or more ids than the model; or if ``length`` is too large.
    """
    name, config = found.name, _config(module)
    files = [file for pattern in _VOCABULARIES for file in found.path.glob(pattern)]
    if not files:
        raise ModelError(f"{name}: its tokenizer is missing in {found.path}; {_MEND}")
    for file in [*files, *found.path.glob("*.json")]:
        if file.stat().st_size > MOST_CHARACTERS:
            raise ModelError(f"{name}: {file.name} is larger than {MOST_CHARACTERS} bytes; {_MEND}")
    with damaged_tokenizer(ModelError, f"{name}: its tokenizer cannot be read", _MEND):
        tokenizer = transformers.AutoTokenizer.from_pretrained(found.path, trust_remote_code=False, local_files_only=True)
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(f"{name}: {type(tokenizer).__name__} has no fast form, which alone can be kept in a program; {_MEND}")
    with damaged_tokenizer(ModelError, f"{name}: its tokenizer cannot be read", _MEND):
        content, ids = tokenizer.backend_tokenizer.to_str(), len(tokenizer)
    vocabulary = int(getattr(config, "vocab_size", 0))
    if ids > vocabulary:
        raise ModelError(f"{name}: its tokenizer has {ids} ids, the model {vocabulary}; save both again, together")
    pad = next((int(i) for i in (tokenizer.pad_token_id, config.pad_token_id, tokenizer.eos_token_id) if i is not None), 0)
    if config.pad_token_id is None:
        config.pad_token_id = pad
    most = _most_tokens(tokenizer, config, module)
    if length is not None and length > most:
        raise ModelError(f"{name}: --input-size {length} is more than the {most} tokens that the model takes")
    names = ("attention_mask", "input_ids") if "attention_mask" in tokenizer.model_input_names else ("input_ids",)
    try:
        return TextPreprocessing(
            tokenizer=json.dumps(json.loads(content), separators=(",", ":")),  # in ASCII, on one line
            length=most if length is None else length,
            inputs=names,
            pad_id=pad,
            pad_left=tokenizer.padding_side == "left",
        )
    except EcmtError as error:
        raise ModelError(f"{name}: {error}") from error


def _most_tokens(tokenizer: Any, config: Any, module: nn.Module) -> int:
    """The longest sentence that the model takes: by its tokenizer, and by the positions that it has."""
    most = min(int(tokenizer.model_max_length), MOST_TOKENS)
    positions = getattr(config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        most = min(most, positions)
    for path, table in module.named_modules():
        if path.endswith("position_embeddings") and isinstance(table, nn.Embedding):
            # where padding has a position of its own, those of tokens begin behind it
            most = min(most, table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1))
    return max(most, 1)


def takes_type_ids(module: nn.Module) -> bool:
    """Whether a model tells the sentences of a pair by ``token_type_ids``."""
    return int(getattr(_config(module), "type_vocab_size", 0) or 0) > 1


def _config(module: Any) -> Any:
    return module.config


class Pooled(nn.Module):
    """A model of text whose answer is one vector of a sentence: the mean of its tokens, or the first.

    Parameters
    ----------
    model
        Answers with ``last_hidden_state`` (N, tokens, width).
    pooling
        ``"mean"`` over the tokens that are no padding, or ``"first"``.
    """

    def __init__(self, model: nn.Module, pooling: str) -> None:
        super().__init__()
        self.training = False
        self.model, self.pooling = model, pooling

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Ids and masks (N, tokens) to vectors (N, width)."""
        more = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        hidden: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask, **more).last_hidden_state
        if self.pooling == "first":
            return hidden[:, 0]
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
