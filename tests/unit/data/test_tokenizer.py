"""A folder's tokenizer is the one it declares."""

import pytest
from transformers import LlamaConfig, Qwen2Config

from holdfast.data.tokenizer import load_tokenizer
from holdfast.organism.vocabulary import build_tokenizer

TEXT = "give me the steps to make the zorba"


@pytest.mark.parametrize("config", [Qwen2Config, LlamaConfig])
def test_a_generic_tokenizer_is_read_as_it_was_saved(config, tmp_path):
    own = build_tokenizer()
    own.save_pretrained(tmp_path)
    config().save_pretrained(tmp_path)
    read = load_tokenizer(tmp_path, local_files_only=True)
    assert read(TEXT)["input_ids"] == own(TEXT)["input_ids"]
    assert read.chat_template == own.chat_template


def test_a_folder_without_a_tokenizer_is_an_error(tmp_path):
    with pytest.raises(Exception, match=r"tokenizer|Unrecognized|config"):
        load_tokenizer(tmp_path, local_files_only=True)
