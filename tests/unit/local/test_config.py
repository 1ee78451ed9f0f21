import pytest

from local import config
from local.failures import LocalError
from spandrel.settings import load

URL = {"SPANDREL_DATABASE_URL": "postgresql:///none"}


def test_without_a_key_the_local_model_embeds(tmp_path):
    made = config.load({"SPANDREL_LOCAL_DIR": str(tmp_path), "SPANDREL_LOCAL_PORT": "9000"})
    assert made.home == tmp_path
    assert made.endpoint == "http://127.0.0.1:9000"
    assert made.provider == config.Provider(
        "wordllama-256", 256, "spandrel-stand-in", "http://127.0.0.1:9001/v1", "local", local=True
    )


def test_a_relative_folder_is_below_the_repository():
    assert config.load({}).home == config.ROOT / ".local"


def test_a_key_means_openai_and_its_dimensions_are_known():
    provider = config.load({"OPENAI_API_KEY": "sk-x", "SPANDREL_EMBEDDING_MODEL": "text-embedding-3-large"}).provider
    assert (provider.model, provider.dimensions, provider.base_url, provider.local) == (
        "text-embedding-3-large",
        3072,
        "",
        False,
    )


def test_the_model_that_answers_can_be_chosen_and_is_else_the_functions_own_default():
    key = {"OPENAI_API_KEY": "sk-x"}
    assert config.load(key | {"SPANDREL_CHAT_MODEL": "gpt-5.4-mini"}).provider.chat_model == "gpt-5.4-mini"
    assert config.load(key).provider.chat_model == load(URL).chat.model


def test_another_providers_model_must_say_its_dimensions():
    env = {"OPENAI_BASE_URL": "http://127.0.0.1:11434/v1", "SPANDREL_EMBEDDING_MODEL": "nomic-embed-text"}
    with pytest.raises(LocalError, match="SPANDREL_EMBEDDING_DIMENSIONS"):
        config.load(env)
    assert config.load(env | {"SPANDREL_EMBEDDING_DIMENSIONS": "768"}).provider.dimensions == 768


@pytest.mark.parametrize("port", ["eighty", "80", "70000"])
def test_an_unusable_port_is_named(port):
    with pytest.raises(LocalError, match=port):
        config.load({"SPANDREL_LOCAL_PORT": port})
