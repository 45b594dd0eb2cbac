"""How sentences become model inputs: a frozen record that travels with a program as JSON, tokenizer and all."""

from __future__ import annotations

import msgspec

from ecmt_deploy.errors import DataError
from ecmt_deploy.shown import Brief

#: names that inputs of text have, in the order in which a sample holds them
INPUTS = ("attention_mask", "input_ids", "token_type_ids")
#: a tokenizer's JSON may not be longer, nor a sentence have more tokens
MOST_CHARACTERS, MOST_TOKENS = 1 << 26, 1 << 16


class TextPreprocessing(Brief, msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Preprocessing of a model of text.

    Parameters
    ----------
    tokenizer
        The tokenizer, as the JSON of the library `tokenizers`, in ASCII; empty in records that do not carry it.
    length
        Tokens of a sample; shorter sentences are padded, longer ones cut.
    inputs
        The inputs it makes, some of :data:`INPUTS` in this order; ``input_ids`` among them.
    pad_id
        Id of the token that pads.
    pad_left
        Whether the padding stands before the sentence.

    Raises
    ------
    DataError
        If a field makes no sense.
    """

    tokenizer: str
    length: int
    inputs: tuple[str, ...]
    pad_id: int = 0
    pad_left: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.length <= MOST_TOKENS:
            raise DataError(f"text: length is {self.length}; expected 1 to {MOST_TOKENS} tokens")
        if self.inputs != tuple(name for name in INPUTS if name in self.inputs) or "input_ids" not in self.inputs:
            raise DataError(f"text: inputs are {', '.join(self.inputs)}; expected some of {', '.join(INPUTS)} in this order")
        if not 0 <= self.pad_id < 2**24:
            raise DataError(f"text: pad_id is {self.pad_id}; expected an id of the vocabulary")
        if len(self.tokenizer) > MOST_CHARACTERS or not self.tokenizer.isascii():
            raise DataError(f"text: tokenizer has {len(self.tokenizer)} characters; expected at most {MOST_CHARACTERS}, ASCII")

    @property
    def input_size(self) -> tuple[int, ...]:
        """Shape of one sample, as :mod:`ecmt_deploy.program.inputs` packs it."""
        return (len(self.inputs) * self.length,)

    @property
    def brief(self) -> TextPreprocessing:
        """The same without the tokenizer, for records and people."""
        return msgspec.structs.replace(self, tokenizer="")
