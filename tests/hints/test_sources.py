import asyncio
import gzip
import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sage.grading.verifier import ExactVerifier
from sage.hints.catalogue import load_hint_source
from sage.hints.endpoint import Endpoint, EndpointSource, Sampling
from sage.hints.files import already_done, check_settings, failures_path, write_hints
from sage.hints.hint_file import HintFile
from sage.hints.prefix import Prefix
from sage.hints.prompts import PromptTemplates
from sage.hints.sources import HintQuery, HintSettings, Online, Reply
from sage.hints.structure import json_schema
from sage.hints.writer import HintRules
from sage.method.records import HintFailure, Prompt

ROWS = [
    {"prompt_id": "a", "level": 1, "hint": "one"},
    {"prompt_id": "a", "level": 1, "hint": "another"},
    {"prompt_id": "b", "level": 3, "hint": "three"},
]


def write(path, rows):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("name", ["hints.jsonl", "hints.parquet"])
def test_every_visit_uses_the_next_draw(tmp_path, name):
    hints = HintFile.load(write(tmp_path / name, ROWS), 3)
    assert [hints.draw("a", 1, n).text for n in range(4)] == ["one", "another", "one", "another"]
    assert hints.draw("b", 3, 7).text == "three"
    assert hints.draw("a", 2, 0) is hints.draw("zzz", 1, 0) is HintFailure.NOT_IN_FILE
    assert [hints.covered(["a", "b", "c"], level) for level in (1, 2, 3)] == [1, 0, 1]
    assert (hints.longest("a"), hints.longest("c")) == ("another", None)


def test_draws_follow_their_number_whatever_their_order_in_the_file(tmp_path):
    rows = [{"prompt_id": "a", "level": 1, "draw": n, "hint": f"h{n}"} for n in (2, 0, 1)]
    hints = HintFile.load(write(tmp_path / "h.jsonl", rows), 3)
    assert [hints.draw("a", 1, n).text for n in range(3)] == ["h0", "h1", "h2"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "no hints in it"),
        ("{", "line 1: not JSON"),
        ("[]", "line 1: a JSON list, not an object"),
        ('{"prompt_id": "a", "hint": "x"}', "line 1: 'level' is missing"),
        ('\n{"prompt_id": "a", "level": 0, "hint": "x"}', "line 2: level is 0"),
        ('{"prompt_id": "a", "level": 1, "hint": " "}', "line 1: hint is ' '"),
        ('{"prompt_id": "a", "level": 1, "level": 2, "hint": "x"}', "line 1: .*the key 'level' is there twice"),
        (
            '{"prompt_id": "a", "level": 1, "draw": 0, "hint": "x"}\n' * 2,
            "line 2: draw 0 of prompt_id 'a' and level 1 is also in .*line 1",
        ),
    ],
)
def test_a_bad_hint_file_is_named_with_its_line(tmp_path, text, message):
    (tmp_path / "h.jsonl").write_text(text)
    with pytest.raises(ValueError, match=message):
        HintFile.load(tmp_path / "h.jsonl", 3)


@pytest.mark.parametrize(
    "data, message",
    [
        (gzip.compress(b"{}"), "is compressed with gzip: unpack it"),
        (b"PAR1 and so on", r"is a Parquet file: give it a name in \.parquet"),
        (b"version https://git-lfs.github.com/spec/v1", "is a pointer of Git LFS"),
        ("{}".encode("utf-16-le"), "save it as UTF-8"),
        (b'{"prompt_id": true, "level": 1, "hint": "x"}', "line 1: prompt_id is True"),
        (b'{"prompt_id": "a", "level": ' + b"9" * 5000 + b"}", "line 1: JSON that cannot be read"),
        (b'{"prompt_id": "\xe9"}', r"line 1: not UTF-8 \(byte 0xe9\)"),
    ],
)
def test_a_file_that_is_no_hint_file_is_named_as_what_it_is(tmp_path, data, message):
    (tmp_path / "h.jsonl").write_bytes(data)
    with pytest.raises(ValueError, match=rf"h\.jsonl.*{message}"):
        HintFile.load(tmp_path / "h.jsonl", 3)


def test_a_hint_file_of_parquet_is_damaged_in_its_middle(tmp_path):
    path = write(tmp_path / "h.parquet", ROWS)
    path.write_bytes(path.read_bytes()[:4] + b"\xff" * 30 + path.read_bytes()[34:])
    with pytest.raises(ValueError, match=r"h\.parquet, row 0: the file is damaged here"):
        HintFile.load(path, 3)


def test_a_hint_file_in_utf_16_with_its_mark_is_read(tmp_path):
    (tmp_path / "h.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-16")
    assert HintFile.load(tmp_path / "h.jsonl", 3).draw("b", 3, 0).text == "three"


SETTINGS = HintSettings(3, "json", True, 1.0, 1.0, 64, PromptTemplates.load("math"))


def test_the_kind_of_a_source_is_read_off_its_text():
    specs = ("online", "prefix", "a/b.jsonl", "b.parquet", "http://h/v1#m")
    assert [load_hint_source(s) for s in specs] == [Online, Prefix, HintFile, HintFile, EndpointSource]
    with pytest.raises(ValueError, match="must be online"):
        load_hint_source("hints.csv")
    with pytest.raises(ValueError, match="is not a complete URL"):
        load_hint_source("http://:80/v1")
    for mistyped in ("htp://h/v1", "localhost:8000/v1"):
        with pytest.raises(ValueError, match="must be online"):
            load_hint_source(mistyped)


OWN = """
from sage.hints.sources import HintSource, Reply

class Reversed(HintSource):
    verbatim = True

    @classmethod
    def open(cls, spec, settings):
        return cls()

    async def ask(self, query, policy):
        return Reply(query.prompt.solution[::-1], 0, 0.0)

Other = 3
"""


def test_a_source_of_ones_own_is_loaded_like_a_verifier(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    source = load_hint_source(f"{tmp_path}/own.py:Reversed").open("", SETTINGS)
    query = HintQuery(Prompt("p", "x", "1", "abc"), 1, 0, 0, 0)
    assert asyncio.run(source.ask(query, None)).text == "cba"
    assert source.covered(["p"], 1) is source.request(query.prompt) is source.example(query.prompt) is None
    for name, message in (("Other", "is not a subclass"), ("None_", "has no None_")):
        with pytest.raises(ValueError, match=message):
            load_hint_source(f"{tmp_path}/own.py:{name}")


def test_sources_that_a_model_writes_show_it_problem_and_solution():
    prompt = Prompt("p", "the problem", "1", "the solution")
    seen = []

    async def policy(messages, seed):
        seen.append((messages, seed))
        return Reply("x", 1, 0.0)

    online = Online.open("online", SETTINGS)
    assert asyncio.run(online.ask(HintQuery(prompt, 2, 0, 0, 7), policy)).text == "x"
    assert seen == [(online.request(prompt), 7)] and "the solution" in seen[0][0][-1]["content"]
    assert Online.from_policy and not Online.verbatim and HintFile.verbatim and not HintFile.needs_solution


PROMPTS = [Prompt(f"p{i}", "x", "12345", "s") for i in range(5)]


def run(path, ask, draws=2, **options):
    rules = HintRules(3, "level", 0, "refuse")
    return asyncio.run(
        write_hints(PROMPTS, path, ask, rules, ExactVerifier(), draws=draws, seed=0, concurrency=2, **options)
    )


def test_a_hint_file_is_written_resumed_and_read_back(tmp_path):
    path, asked = tmp_path / "hints.jsonl", []

    async def ask(prompt, level, seed):
        asked.append((prompt.prompt_id, level, seed))
        if prompt.prompt_id == "p4":
            return Reply("the answer is 12345", 3, 0.0)
        return Reply(f"{prompt.prompt_id} {level} {seed}", 3, 0.0)

    counts = run(path, ask)
    assert counts == {"before": 0, "written": 4 * 2 * 3, "leak": 2 * 3}
    assert len({seed for *_, seed in asked}) == len(asked) == 30, "every draw is a new one"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]) + lines[-1][:10])  # interrupted while it wrote
    asked.clear()
    counts = run(path, ask)
    assert counts == {"before": 29, "written": 1} and len(asked) == 1
    assert sorted(path.read_text().splitlines()) == sorted("".join(lines).splitlines()), "the same hints"
    assert run(path, ask) == {"before": 30}
    hints = HintFile.load(path, 3)
    assert hints.draw("p0", 2, 0) != hints.draw("p0", 2, 1) and hints.covered(["p4"], 1) == 0
    failures = [json.loads(line) for line in failures_path(path).read_text().splitlines()]
    assert len(already_done(path)) == 30 and [one["failure"] for one in failures] == ["leak"] * 6
    assert {one["answer"] for one in failures} == {"the answer is 12345"}, "what the model wrote"


def test_a_failure_has_its_answer_also_where_an_earlier_level_of_it_was_used(tmp_path):
    answer = json.dumps({"level_1": "look", "level_2": "it is 12345", "level_3": "add"})

    async def ask(prompt, level, seed):
        return Reply(answer, 3, 0.0)

    rules = HintRules(3, "json", 0, "refuse")
    path = tmp_path / "hints.jsonl"
    asyncio.run(write_hints(PROMPTS[:1], path, ask, rules, ExactVerifier(), draws=1, seed=0, concurrency=1))
    (failure,) = map(json.loads, failures_path(path).read_text().splitlines())
    assert (failure["level"], failure["failure"], failure["answer"]) == (2, "leak", answer)


def test_a_file_is_not_gone_on_with_by_another_model(tmp_path):
    path = tmp_path / "hints.jsonl"
    check_settings(path, {"model": "a", "seed": 0})
    check_settings(path, {"model": "b", "seed": 0})  # no hint yet: nothing to mix
    write(path, ROWS)
    check_settings(path, {"model": "b", "seed": 0})
    with pytest.raises(ValueError, match=r"hints\.jsonl was begun with model='b', which is 'a' now"):
        check_settings(path, {"model": "a", "seed": 0})


def test_what_an_endpoint_did_not_answer_is_asked_again(tmp_path):
    answers = iter([HintFailure.ENDPOINT] * 3)

    async def ask(prompt, level, seed):
        return next(answers, Reply(f"{prompt.prompt_id} {level}", 3, 0.0))

    path = tmp_path / "hints.jsonl"
    first = run(path, ask, draws=1)
    missing = first["endpoint"]
    assert missing >= 3 and first["written"] == 15 - missing and failures_path(path).read_text() == ""
    assert run(path, ask, draws=1) == {"before": 15 - missing, "written": missing}


class Server(BaseHTTPRequestHandler):
    """Answers like an OpenAI-compatible server, from a list of statuses."""

    statuses: ClassVar[list[int]] = []
    seen: ClassVar[list[dict]] = []
    refused: ClassVar[str] = "nothing"

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def do_GET(self):
        self.reply(200, {"object": "list", "data": [{"id": "served", "object": "model"}]})

    def do_POST(self):
        self.seen.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        if self.refused == "response_format" and self.refused in self.seen[-1]:
            return self.reply(400, {"error": {"message": "response_format json_schema is not supported"}})
        if self.refused in self.seen[-1]:
            error = {"message": f"{self.refused!r} is not supported. Use 'max_completion_tokens' instead."}
            return self.reply(400, {"error": error})
        message = {"role": "assistant", "content": "first add"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
        body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
        self.reply(self.statuses.pop(0) if self.statuses else 200, body)

    def log_message(self, *args):
        pass


SAMPLING = Sampling(temperature=0.7, top_p=0.9, max_tokens=64)


@pytest.fixture
def endpoint():
    server = HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Server.statuses, Server.seen, Server.refused = [], [], "nothing"
    yield Endpoint(f"http://127.0.0.1:{server.server_port}/v1", SAMPLING)
    server.shutdown()


def ask(endpoint):
    return asyncio.run(endpoint.ask([{"role": "user", "content": "a hint?"}], seed=11))


def test_an_endpoint_is_asked_with_our_sampling_and_tried_again(endpoint):
    Server.statuses.append(503)
    reply = ask(endpoint)
    assert (reply.text, reply.tokens) == ("first add", 2) and len(Server.seen) == 2
    sent = Server.seen[-1]
    assert (sent["model"], sent["temperature"], sent["top_p"], sent["max_tokens"], sent["seed"]) == (
        "served",
        0.7,
        0.9,
        64,
        11,
    )


def test_an_endpoint_that_refuses_is_a_counted_failure_and_logged_once(endpoint, caplog):
    Server.statuses += [400, 400, 401]
    assert [ask(endpoint) for _ in range(3)] == [HintFailure.ENDPOINT] * 3
    assert [record.args[1] for record in caplog.records] == ["BadRequestError", "AuthenticationError"]


def test_a_trial_says_why_an_endpoint_gives_no_hints(endpoint):
    assert endpoint.why_not() is None
    Server.statuses.append(401)
    assert endpoint.why_not().startswith("AuthenticationError: Error code: 401")
    assert Endpoint("http://127.0.0.1:9/v1#m", SAMPLING).why_not().startswith("APIConnectionError")


def test_a_model_that_wants_another_name_for_the_limit_gets_it(endpoint):
    Server.refused = "max_tokens"
    assert ask(endpoint).text == ask(endpoint).text == "first add"
    assert ["max_tokens" in sent for sent in Server.seen] == [True, False, False]
    assert Server.seen[-1]["max_completion_tokens"] == 64


def test_an_endpoint_is_asked_for_the_format_and_without_it_once_it_refused(endpoint, caplog):
    endpoint.sampling = replace(SAMPLING, schema=json_schema(2))
    assert ask(endpoint).text == "first add"
    form = Server.seen[-1]["response_format"]
    assert form["type"] == "json_schema" and form["json_schema"]["schema"] == json_schema(2)
    Server.refused = "response_format"
    assert [ask(endpoint).text for _ in range(2)] == ["first add"] * 2
    assert ["response_format" in sent for sent in Server.seen] == [True, True, False, False]
    assert endpoint.without_format == 2 and not endpoint.takes_format
    assert [record.getMessage().split(", asked")[0][-20:] for record in caplog.records] == ["takes no JSON schema"]


def test_a_trial_finds_out_whether_an_endpoint_takes_the_format(endpoint):
    endpoint.sampling = replace(SAMPLING, schema=json_schema(3))
    Server.refused = "response_format"
    assert endpoint.why_not() is None and not endpoint.takes_format
    Server.refused, Server.statuses = "nothing", [400]
    assert endpoint.why_not().startswith("BadRequestError")


def test_hints_with_line_ends_of_text_are_read_as_they_were_written(tmp_path):
    line = {"prompt_id": "p0", "level": 1, "draw": 0, "hint": "one\u2028two\u0085three"}
    (tmp_path / "h.jsonl").write_text(json.dumps(line, ensure_ascii=False) + "\n", encoding="utf-8")
    assert already_done(tmp_path / "h.jsonl") == {("p0", 1, 0)}
    assert HintFile.load(tmp_path / "h.jsonl", 3).draw("p0", 1, 0).text == line["hint"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"problem": "of somebody else"}', "the last line has no end and is none of this program"),
        ('{"prompt_id": "p0", "level": 1, "draw": 0}\n[1, 2', "line 2: not JSON"),
        (
            '{"prompt_id": ["p0"], "level": 1, "draw": 0}\n',
            r"hints\.jsonl, line 1: prompt_id=\['p0'\] should be a valid string",
        ),
        ('{"prompt_id": "p0", "level": "1", "draw": 0}\n', "level='1' should be a valid integer"),
        ('{"prompt_id": "p0", "level": 1}\n', "'draw' is missing; take the line out, or use another file"),
    ],
)
def test_another_file_is_refused_and_stays_as_it_is(tmp_path, text, message):
    (tmp_path / "hints.jsonl").write_text(text)
    with pytest.raises(ValueError, match=message):
        already_done(tmp_path / "hints.jsonl")
    assert (tmp_path / "hints.jsonl").read_text() == text


def test_failures_of_an_endpoint_on_file_do_not_count_as_done(tmp_path):
    lines = [
        {"prompt_id": "p0", "level": level, "draw": 0, "failure": failure}
        for level, failure in ((1, "endpoint"), (2, "leak"))
    ]
    failures_path(tmp_path / "hints.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert already_done(tmp_path / "hints.jsonl") == {("p0", 2, 0)}
