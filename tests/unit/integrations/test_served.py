"""A served model is measured as one that is loaded here, and a failing server loses nothing."""

import contextlib
import json
import socket
import threading
import time
from dataclasses import replace

import pytest

from holdfast.commands.evaluate import EvaluateConfig, evaluate_model
from holdfast.errors import ConfigError, RunError
from holdfast.evaluation.reply import Reply
from holdfast.integrations.engines import opened
from holdfast.integrations.engines.http import GarbageError, Server
from holdfast.integrations.engines.kept import KeptAnswers
from holdfast.integrations.engines.served import ServedModel, reply_from
from tests.tiny import tiny_model, tiny_tokenizer
from tests.unit.integrations.stand_in_server import StandIn
from tests.unit.integrations.strange_folder import questions

ASKED = [[{"role": "user", "content": f"what is {n} plus 1"}] for n in range(5)]
BUSY = (429, "busy", {"Retry-After": "0"})


@pytest.fixture(scope="module")
def parts():
    return tiny_model("llama", seed=3), tiny_tokenizer()


@pytest.fixture
def stand_in(parts):
    return StandIn(*parts)


@pytest.fixture(autouse=True)
def _without_a_key(monkeypatch):
    monkeypatch.delenv(opened.KEY, raising=False)


def served(url, path=None, tries=3):
    server = replace(Server.at(url, "served", timeout=5.0), tries=tries, pause=0.0)
    return ServedModel(server, "tiny", KeptAnswers(path, {"model": "tiny"}), 2)


def test_the_figures_are_those_of_the_model_here(stand_in, parts, tmp_path):
    model, tokenizer = parts
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    file = str(questions(tmp_path / "asked.jsonl"))
    how = {"harmful": file, "task": file, "max_new_tokens": 9}
    with stand_in.running() as url:
        there = evaluate_model(
            EvaluateConfig(model="tiny", served=url, output=tmp_path / "out", **how)
        )
    here = evaluate_model(EvaluateConfig(model=str(folder), **how))
    theirs, ours = there.arms[0].runs[0], here.arms[0].runs[0]
    assert theirs.answers == ours.answers
    assert (theirs.shares, theirs.cut) == (ours.shares, ours.cut)
    assert any(answer.cut for answer in ours.answers)
    assert theirs.decoding == {"method": "greedy", "max_new_tokens": 9, "served": url}
    assert any(f"the questions went to {url}" in line for line in there.warnings)
    assert {body["temperature"] for body in stand_in.asked} == {0.0}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["asked.jsonl", "model", "out"]


def test_a_busy_server_is_asked_again(stand_in, parts):
    stand_in.faults.extend([BUSY, (503, "", {}), (200, "no json", {})])
    with stand_in.running() as url:
        said = served(url, tries=4).replies(ASKED[:1], max_new_tokens=4)
    assert len(said) == 1
    assert len(stand_in.asked) == 4


def test_an_error_sent_as_an_answer_is_asked_again(stand_in, parts):
    """Some gateways send rate limits with HTTP 200, and an answer cut by an error too."""
    cut = {"message": {"content": "half an"}, "finish_reason": "error"}
    stand_in.faults.append((200, {"error": {"code": 429, "message": "rate limit"}}, {}))
    stand_in.faults.append((200, {"choices": [cut]}, {}))
    with stand_in.running() as url:
        [said] = served(url).replies(ASKED[:1], max_new_tokens=4)
        [again] = served(url).replies(ASKED[:1], max_new_tokens=4)
    assert len(stand_in.asked) == 4
    assert said == again


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ([BUSY] * 3, "HTTP 429 Too Many Requests: busy"),
        ([(500, "", {})] * 3, "HTTP 500 Internal Server Error"),
        ([(400, '{"error": "too long"}', {})], "HTTP 400 Bad Request: .*too long"),
        ([(200, "<html>", {})] * 3, "no JSON: b'<html>'"),
        ([(200, '{"choices": [', {})] * 3, "no JSON"),
        (
            [(200, {"error": {"code": 400, "message": "too long"}}, {})],
            "HTTP 400, sent as HTTP 200",
        ),
        ([(200, {"error": "down"}, {})] * 3, "an error, sent as HTTP 200: down"),
        ([(200, {"choices": []}, {})], "no chat completion"),
        ([(200, {"choices": [{"message": {"content": 3}}]}, {})], "an answer that is no text"),
        ([(302, "", {"Location": "http://127.0.0.1:9/v1"})], "HTTP 302"),
        ([0.4] * 3, "did not answer 3 times"),
    ],
)
def test_what_a_server_does_wrong_is_one_line_and_loses_no_answer(
    faults, said, stand_in, parts, tmp_path
):
    path = tmp_path / "answers.jsonl"
    with stand_in.running() as url:
        model = served(url, path)
        model.size = 1
        whole = model.replies(ASKED, max_new_tokens=4)
        model.finished()
        model.replies(ASKED[:2], max_new_tokens=4)
        stand_in.faults.extend(faults)
        if faults[0] == 0.4:
            model.server = replace(model.server, timeout=0.1)
        with pytest.raises(RunError, match=said) as caught:
            model.replies(ASKED, max_new_tokens=4)
        told = str(caught.value)
        assert f"2 of 5 answers were made and are kept in {path}" in told
        assert "\n" not in told
        stand_in.faults.clear()
        model.server = replace(model.server, timeout=5.0)
        assert len(path.read_text().splitlines()) == 2
        assert model.replies(ASKED, max_new_tokens=4) == whole
    assert len(path.read_text().splitlines()) == 5
    assert (path.stat().st_mode & 0o777) == 0o600


def test_answers_of_another_model_or_a_cut_line_are_not_taken(tmp_path):
    path = tmp_path / "kept.jsonl"
    kept = KeptAnswers(path, {"model": "a"})
    kept.keep(ASKED[0], Reply("one", cut=True))
    path.write_text(path.read_text() + '{"key": "')
    assert kept.found(ASKED) == {0: Reply("one", cut=True)}
    assert KeptAnswers(path, {"model": "b"}).found(ASKED) == {}
    assert KeptAnswers(None, {}).found(ASKED) == {}


def test_without_an_output_the_line_says_so(stand_in):
    stand_in.faults.append((400, "", {}))
    with stand_in.running() as url, pytest.raises(RunError, match="are lost: give `output`"):
        served(url).replies(ASKED, max_new_tokens=4)


@pytest.mark.parametrize(
    ("message", "reason", "reply"),
    [
        ({"content": " 42 "}, "stop", Reply("42")),
        ({"content": None}, "length", Reply("", cut=True)),
        ({"content": None, "refusal": "I cannot."}, "stop", Reply("I cannot.")),
        ({"content": "42", "refusal": None}, "stop", Reply("42")),
        ({"content": "<think>so</think>42"}, "stop", Reply("42", "so")),
        ({"content": "42", "reasoning_content": "so"}, "stop", Reply("42", "so")),
        ({"content": "", "reasoning": "so"}, "length", Reply("", "so", True, True)),
        ({"content": "4\ud800", "reasoning": "s\udc00"}, "stop", Reply("4\ufffd", "s\ufffd")),
        ({"content": "\U0001f600"}, "stop", Reply("\U0001f600")),
    ],
)
def test_a_completion_is_read_with_its_thinking(message, reason, reply):
    document = {"choices": [{"message": message, "finish_reason": reason}]}
    assert reply_from(document) == reply


def test_the_key_is_sent_and_never_told(stand_in, monkeypatch, tmp_path):
    monkeypatch.setenv(opened.KEY, "sk-secret")
    stand_in.faults.append((401, '{"error": "bad key sk-secret"}', {}))
    file = str(questions(tmp_path / "asked.jsonl"))
    with stand_in.running() as url, pytest.raises(RunError, match="bad key …") as caught:
        evaluate_model(EvaluateConfig(model="tiny", served=url, task=file))
    assert stand_in.keys == ["Bearer sk-secret"]
    assert "secret" not in str(caught.value)


def test_a_server_without_a_list_of_models_will_do(stand_in):
    stand_in.names = ()
    with stand_in.running() as url:
        served(url).check()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model": "tinny"}, "the server has tiny: give the name .* mean 'tiny'"),
        ({"served": "localhost:8000"}, "`served`: is no address"),
        ({"served": "http://me:word@localhost/v1"}, "`served` holds what looks like a secret"),
        ({"served": "http://localhost/v1?a=1"}, "holds a name, a key or a query"),
        ({"served": "http://[::1/v1"}, "`served`: is no address"),
        ({"served": "http://localhost:port/v1"}, "`served`: is no address"),
        ({"served": "http://local host/v1"}, "`served`: is no address"),
        (
            {"served": "http://localhost/\N{LATIN SMALL LETTER O WITH DIAERESIS}/v1"},
            "`served`: is no address",
        ),
        ({"served_timeout": 0.0}, r"`served_timeout=0.0`: give seconds"),
        ({"dtype": "bfloat16"}, "`dtype` is for a model that is loaded here"),
        ({"adapter": "."}, "`adapter` is for a model"),
        ({"engine": "vllm"}, "`engine` is for a model"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_is_asked(given, said, stand_in, tmp_path):
    file = str(questions(tmp_path / "asked.jsonl"))
    with stand_in.running() as url:
        config = EvaluateConfig(**{"model": "tiny", "served": url, "task": file, **given})
        with pytest.raises(ConfigError, match=said) as caught:
            evaluate_model(config)
    assert "word" not in str(caught.value)
    assert stand_in.asked == []


def test_a_server_that_is_not_there_is_one_line():
    with pytest.raises(ConfigError, match=r"`served`: .* did not answer 3 times"):
        served("http://127.0.0.1:9/v1").check()


def test_an_error_in_the_list_is_one(stand_in):
    with pytest.raises(GarbageError):
        reply_from(json.loads('{"error": 1}'))


HEAD = b"HTTP/1.1 200 OK\r\n"


@contextlib.contextmanager
def raw(data, then=b"", pause=0.02):
    """Serve these bytes to whoever connects, and ``then`` again and again; gives the address."""

    def answer(taken):
        with taken, contextlib.suppress(OSError):
            taken.recv(65536)
            taken.sendall(data)
            for _ in range(100 if then else 0):
                taken.sendall(then)
                time.sleep(pause)
            # What is closed with a question half read is reset, and the answer is lost with it.
            taken.shutdown(socket.SHUT_WR)
            while taken.recv(65536):
                pass

    def serve(listening):
        with contextlib.suppress(OSError):
            while True:
                taken, _ = listening.accept()
                threading.Thread(target=answer, args=(taken,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", "did not answer 2 times"),
        (HEAD + b"Content-Length: 900\r\n\r\n{", "no JSON"),
        (b"no HTTP at all\r\n\r\n", "did not answer 2 times .BadStatusLine: no HTTP"),
        (HEAD + b"X: " + b"a" * 70_000 + b"\r\n\r\n", "did not answer 2 times .LineTooLong"),
        (HEAD + b"\r\n" + b"[" * 100_000, "no JSON"),
        (b"HTTP/1.1 429 Busy\r\nRetry-After: \xb2\r\n\r\n", "HTTP 429 Busy"),
        (b"HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "HTTP 400 No"),
    ],
)
def test_what_is_cut_or_no_http_is_asked_again_and_then_one_line(data, said):
    with raw(data) as url, pytest.raises(RunError, match=said) as caught:
        served(url, tries=2).replies(ASKED[:1], max_new_tokens=4)
    assert "\n" not in str(caught.value)


def test_an_answer_that_trickles_in_is_not_waited_for():
    """Each byte comes in time, and the whole never would."""
    start = time.monotonic()
    with raw(HEAD + b"Content-Length: 1000\r\n\r\n", then=b" ") as url:
        model = served(url, tries=1)
        model.server = replace(model.server, timeout=0.3)
        with pytest.raises(RunError, match="only a part came in time"):
            model.replies(ASKED[:1], max_new_tokens=4)
    assert time.monotonic() - start < 1.5


@pytest.mark.parametrize("key", ["two words", "two\nlines", "schl\N{CJK UNIFIED IDEOGRAPH-4E2D}"])
def test_a_key_that_no_header_takes_is_one_line_without_it(stand_in, monkeypatch, tmp_path, key):
    monkeypatch.setenv(opened.KEY, key)
    file = str(questions(tmp_path / "asked.jsonl"))
    with stand_in.running() as url, pytest.raises(ConfigError, match="holds blanks") as caught:
        evaluate_model(EvaluateConfig(model="tiny", served=url, task=file))
    assert key not in str(caught.value)
    assert stand_in.keys == []


def test_a_server_that_answers_with_the_key_leaves_no_key_in_what_is_kept(stand_in, tmp_path):
    message = {"role": "assistant", "content": "Bearer sk-secret"}
    stand_in.faults.append((200, {"choices": [{"message": message}]}, {}))
    path = tmp_path / "kept.jsonl"
    with stand_in.running() as url:
        model = served(url, path)
        model.server = replace(model.server, key="sk-secret")
        assert model.replies(ASKED[:1], max_new_tokens=4) == [Reply("Bearer [key]")]
    assert "secret" not in path.read_text()
